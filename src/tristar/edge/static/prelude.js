// Runs before the first paint, so that the chosen theme and language do not flash in late.
"use strict";
(() => {
  const kept = (name) => {
    try {
      return localStorage.getItem(`tristar.${name}`);
    } catch {
      return null; // storage is off: the page works, it only forgets
    }
  };
  const root = document.documentElement;
  const theme = kept("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const language = kept("language") ?? navigator.language;
  root.lang = language.toLowerCase().startsWith("de") ? "de" : "en";
})();
