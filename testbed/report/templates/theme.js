(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");
  let theme = new URLSearchParams(location.search).get("theme");
  if (!theme) {
    try { theme = localStorage.getItem("testbed-theme"); } catch { /* a browser may refuse */ }
  }
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
})();
