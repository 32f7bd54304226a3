// Fills a paragraph with words in colour. Everything is set as text: nothing in it can be markup.
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector("#words");
  root.textContent = "";
  for (const [text, weight, note] of data.parts) {
    if (!weight && !(data.tags && note)) {
      root.append(text);
      continue;
    }
    const word = document.createElement("span");
    word.textContent = text;
    if (data.tags) {
      word.className = "name";
      const kind = document.createElement("span");
      kind.className = "kind";
      kind.textContent = note;
      word.append(kind);
    } else {
      const colour = weight > 0 ? "var(--st-orange-color)" : "var(--st-blue-color)";
      word.className = "word";
      word.style.background = `color-mix(in srgb, ${colour} ${Math.round(45 * Math.abs(weight))}%, transparent)`;
      word.title = note;
    }
    root.append(word);
  }
}
