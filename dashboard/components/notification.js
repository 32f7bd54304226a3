// Tells of the end of a run, where the browser allows it; asks for that at a click, as browsers demand.
const seen = new WeakMap();

export default function (component) {
  const { data, parentElement } = component;
  const button = parentElement.querySelector("button");
  const before = seen.get(parentElement);
  seen.set(parentElement, { run: data.run, working: data.working });
  const known = "Notification" in window;
  if (known && before && before.run === data.run && before.working && !data.working && Notification.permission === "granted") {
    new Notification(data.title, { body: data.body, tag: data.run });
  }
  button.hidden = !known || !data.working || Notification.permission !== "default";
  button.textContent = data.label;
  button.onclick = async () => {
    await Notification.requestPermission();
    button.hidden = true;
  };
}
