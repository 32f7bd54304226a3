// One entry of the browser's history per visited page. On the way to another page Streamlit first enters the old page again, without
// the query parameters that the new one does not take, so that Back would lose the reader's view.
const PATIENCE_MS = 5000;

export default function () {
  if (window.bonsaiPageHistory) return;
  window.bonsaiPageHistory = true;
  const push = history.pushState.bind(history);
  let leaving = 0;
  addEventListener(
    "click",
    (event) => {
      const link = event.target.closest?.("[data-testid=stSidebarNavLink]");
      if (link && !event.metaKey && !event.ctrlKey) leaving = link.pathname === location.pathname ? 0 : performance.now();
    },
    true,
  );
  history.pushState = (state, title, url) => {
    const samePage = new URL(url ?? "", location.href).pathname === location.pathname;
    if (samePage && leaving && performance.now() - leaving < PATIENCE_MS) return;
    leaving = 0;
    push(state, title, url);
  };
}
