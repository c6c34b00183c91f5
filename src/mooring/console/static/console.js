// Listens for news while a page is open, and lets htmx load again what is marked as live.
"use strict";

(function () {
  const live = document.querySelector("[data-news]");
  if (!live || !window.EventSource) return;

  const news = new EventSource(live.dataset.news);
  let waits = false;

  function busy() {
    // Nobody's typing is to be taken away.
    const at = document.activeElement;
    return document.hidden || (at && at.closest("#live") && at.matches("input, select, textarea, button"));
  }

  function tell() {
    if (busy()) {
      waits = true;
      return;
    }
    waits = false;
    document.body.dispatchEvent(new CustomEvent("news"));
  }

  news.addEventListener("changed", tell);
  news.addEventListener("ended", () => {
    news.close();
    window.location.reload();
  });
  const again = () => { if (waits) setTimeout(tell, 0); };
  document.addEventListener("visibilitychange", again);
  document.addEventListener("focusout", again);
  window.addEventListener("pagehide", () => news.close());
})();
