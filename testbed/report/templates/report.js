(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const plans = all(".plan");
  const status = document.getElementById("shown");

  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const toggle = document.getElementById("theme");
  const tell = () => toggle.setAttribute("aria-pressed", String(dark()));
  toggle.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("testbed-theme", root.dataset.theme); } catch { /* stays for now */ }
    tell();
  });
  tell();

  // Filters: a verdict switched off and a plan that lacks a word searched for are not shown.
  const filters = all("#toolbar [data-verdict]");
  const search = document.getElementById("search");
  const apply = () => {
    const off = new Set(filters
      .filter((button) => button.getAttribute("aria-pressed") === "false")
      .map((button) => button.dataset.verdict));
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const plan of plans) {
      const text = plan.dataset.words;
      plan.hidden = off.has(plan.dataset.verdict) || !words.every((word) => text.includes(word));
      if (!plan.hidden) shown += 1;
    }
    status.textContent = shown === plans.length ? "" : `${shown} of ${plans.length} shown`;
  };
  for (const button of filters) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!on));
      apply();
    });
  }
  search.addEventListener("input", apply);
  const setAll = (open) => { for (const plan of plans) if (!plan.hidden) plan.open = open; };
  document.getElementById("open-all").addEventListener("click", () => setAll(true));
  document.getElementById("close-all").addEventListener("click", () => setAll(false));

  // A link to a plan, or to a frame in its ladder, opens what it is in.
  const reveal = (target) => {
    const plan = target && target.closest(".plan");
    if (!plan) return;
    plan.hidden = false;
    for (let at = target; at; at = at.parentElement && at.parentElement.closest("details")) {
      if (at.localName === "details") at.open = true;
    }
  };
  const follow = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    reveal(target);
    if (target.closest(".ladder")) {
      for (const old of all(".came")) old.classList.remove("came");
      target.classList.add("came");
      target.scrollIntoView({ block: "center" });
    } else {
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash) follow();
  });
  if (location.hash) addEventListener("load", () => requestAnimationFrame(follow));

  // The frame that decided comes into sight when its plan is opened.
  const centre = (plan) => {
    const ladder = plan.querySelector(".ladder");
    const row = ladder && ladder.querySelector(".bad[id]");
    if (!row || ladder.scrollTop) return;
    const gap = row.getBoundingClientRect().top - ladder.getBoundingClientRect().top;
    if (gap > ladder.clientHeight - 40) ladder.scrollTop = gap - ladder.clientHeight / 3;
  };
  for (const plan of plans) {
    plan.addEventListener("toggle", () => { if (plan.open) centre(plan); });
    if (plan.open) centre(plan);
  }

  const copy = async (button) => {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      document.execCommand("copy");
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  };
  for (const button of all("button.copy")) button.addEventListener("click", () => copy(button));

  // Keys: / to search, n and p to the next and previous plan that needs attention.
  const troubles = plans.filter((plan) => plan.classList.contains("trouble"));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof Element && event.target.closest("input, textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "/") {
      event.preventDefault();
      search.focus();
    } else if ((event.key === "n" || event.key === "p") && troubles.length) {
      const tops = troubles.map((plan) => plan.getBoundingClientRect().top - 70);
      const later = tops.findIndex((top) => top > 4);
      const earlier = tops.findLastIndex((top) => top < -4);
      const next = event.key === "n" ? later : earlier;
      const plan = troubles[next < 0 ? (event.key === "n" ? 0 : troubles.length - 1) : next];
      reveal(plan);
      plan.scrollIntoView();
      plan.querySelector("summary").focus({ preventScroll: true });
    }
  });
  addEventListener("beforeprint", () => { for (const plan of troubles) plan.open = true; });
})();
