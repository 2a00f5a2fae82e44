"use strict";
(() => {
  const one = (id) => document.getElementById(id);
  const rows = [...(one("list")?.children ?? [])];

  // Light and dark: the system's, until somebody asks for the other.
  const theme = one("theme");
  const isDark = () => document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  label();

  // Filters.
  const plain = (text) => text.toLocaleLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
  const said = rows.map((row) => plain((row.querySelector("blockquote") ?? row).textContent));
  const filter = () => {
    const wanted = plain(one("search").value.trim());
    const person = one("person")?.value ?? "";
    const why = one("why")?.value ?? "";
    const boxes = [...document.getElementsByName("label")];
    const labels = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const spans = [...document.querySelectorAll(".spans a")];
    let shown = 0;
    rows.forEach((row, index) => {
      const fits = (!wanted || said[index].includes(wanted))
        && (!person || `=${row.dataset.person}` === person)
        && (!why || row.dataset.why.split(" ").includes(why))
        && (!boxes.length || labels.has(row.dataset.label))
        && (!one("odd")?.checked || row.dataset.odd);
      row.hidden = !fits;
      spans[index]?.classList.toggle("out", !fits);
      shown += fits;
    });
    one("count").textContent = `${shown} of ${rows.length} shown`;
  };
  const form = one("filters");
  if (form) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", filter);
    form.addEventListener("reset", () => setTimeout(filter));
    filter();  // a browser keeps what was typed when it loads a page again
  }

  // The timeline: zoom, ticks, and the way from an utterance to its details.
  const canvas = one("canvas");
  if (canvas) {
    const length = Number(canvas.dataset.length);
    const clock = (time) => {
      const hours = Math.floor(time / 3600), minutes = Math.floor(time / 60) % 60, rest = time % 60;
      const two = (value) => String(Math.floor(value)).padStart(2, "0");
      return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
    };
    const draw = () => {
      const most = Math.max(1, length / 8);
      canvas.style.width = `${100 * most ** (one("zoom").value / 100)}%`;
      // From afar, edges would cover what lies between them.
      canvas.classList.toggle("far", canvas.clientWidth < 12 * rows.length);
      const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];
      const room = Math.max(1, canvas.clientWidth / 80);
      const step = steps.find((value) => length / value <= room) ?? length / room;
      const ticks = [];
      for (let time = 0; time <= length; time += step) {
        const tick = document.createElement("span");
        tick.style.left = `${100 * time / length}%`;
        // None that would be cut off at the end.
        tick.textContent = (length - time) / length * canvas.clientWidth > 40 ? clock(time) : "";
        ticks.push(tick);
      }
      one("ticks").replaceChildren(...ticks);
    };
    one("zoom").addEventListener("input", draw);
    addEventListener("resize", draw);
    draw();
    canvas.addEventListener("click", (event) => {
      const target = event.target.closest("a");
      const row = target && one(target.hash.slice(1));
      if (!row) return;
      if (row.hidden) form.reset();
      setTimeout(() => row.focus());
    });
  }

  // Sound: one player for all, so that nobody talks at the same time.
  const audio = one("audio");
  if (audio) {
    let playing = null;
    const show = () => {
      document.querySelectorAll(".play[aria-pressed]").forEach((button) => button.removeAttribute("aria-pressed"));
      if (playing && !audio.paused) playing.setAttribute("aria-pressed", "true");
    };
    one("list").addEventListener("click", (event) => {
      const button = event.target.closest(".play");
      if (!button) return;
      if (button === playing && !audio.paused) { audio.pause(); return; }
      if (button !== playing) {
        playing = button;
        audio.src = button.dataset.sound;
        one("playing").textContent = button.closest("li").querySelector("h3").textContent;
      }
      one("player").hidden = false;
      audio.play().catch(() => { one("playing").textContent = "This sound cannot be played: is it still beside the page, and does the browser know Ogg/Opus?"; });
    });
    for (const name of ["play", "pause", "ended"]) audio.addEventListener(name, show);
  }
})();
