// What makes the pages comfortable. Everything here adds to pages that can be read without it.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// -- theme: a cookie, so that the server sends the right one and nothing flashes

const THEMES = ["", "light", "dark"];

function showTheme(button) {
  const theme = document.documentElement.dataset.theme ?? "";
  button.setAttribute("aria-label", button.dataset[theme || "auto"]);
  button.title = button.dataset[theme || "auto"];
}

function nextTheme(button) {
  const root = document.documentElement;
  const theme = THEMES[(THEMES.indexOf(root.dataset.theme ?? "") + 1) % THEMES.length];
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  const age = theme ? 31536000 : 0;
  document.cookie = `ezstat_theme=${theme}; Path=/; Max-Age=${age}; SameSite=Lax`;
  showTheme(button);
}

for (const button of all("[data-theme-switch]")) {
  button.hidden = false;
  showTheme(button);
  button.addEventListener("click", () => nextTheme(button));
}

// -- copy buttons

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    // Plain HTTP on another machine has no clipboard: select the text, so that the keys for copying do it.
    getSelection().selectAllChildren(code);
    if (!document.execCommand("copy")) return;
  }
  const text = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = text; }, 1600);
}

for (const button of all("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

// -- time zone of the browser

for (const input of all("[data-timezone]")) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && (input.value === "" || input.value === "UTC")) input.value = zone;
}

// -- account menu: closes as people expect

for (const menu of all("details.menu")) {
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

// -- ages of points

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function age(time) {
  const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
  const unit = UNITS.find(([size]) => seconds >= size);
  return unit ? `${Math.floor(seconds / unit[0])} ${unit[1]} ago` : "just now";
}

const showAges = () => { for (const time of all("time[data-ago]")) time.textContent = age(time); };
showAges();
setInterval(showAges, 1000);

// -- the live part of a page: told of points by the stream, drawn by the server

const QUIET = 250; // milliseconds from a point to what is drawn; points that come meanwhile share it
const BETWEEN = 1000; // at least, from one look to the next
const SETTLED = 2000; // from the last point to a last look: what was not in the figures then is now
const POLL = 3000; // between looks while the stream is away
const RECHECK = 60000; // between looks while it works: what falls out of the range changes figures too

// Marks the rows that received points since, and returns them.
function markFresh(before, after) {
  const known = new Map(all("[data-stat]", before).map((row) => [row.dataset.stat, row.dataset]));
  return all("[data-stat]", after).filter((row) => {
    const old = known.get(row.dataset.stat);
    const fresh = !old || Number(row.dataset.n) > Number(old.n) || row.dataset.last > old.last;
    row.classList.toggle("fresh", fresh);
    return fresh;
  });
}

function showArrival(row) {
  const waiting = document.querySelector("[data-waiting]");
  const template = document.querySelector("template[data-arrived]");
  if (!waiting || !template) return;
  waiting.replaceChildren(template.content.cloneNode(true));
  waiting.querySelector("[data-name]").textContent = row.querySelector("th").textContent;
  waiting.classList.remove("waiting");
  waiting.removeAttribute("data-waiting");
}

class Live {
  constructor(element) {
    this.element = element;
    this.streaming = false;
    this.asking = false;
    this.askAgain = false;
    this.timer = 0;
    this.lastTimer = 0;
    this.looked = Date.now();
    this.stream();
    setInterval(() => this.recheck(), 1000);
    document.addEventListener("visibilitychange", () => this.look());
  }

  stream() {
    const source = new EventSource("/api/v1/live");
    source.addEventListener("open", () => this.connected(true));
    source.addEventListener("error", () => {
      this.connected(false);
      // The browser tries again by itself unless the answer was no stream at all.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.stream(), POLL * 2);
    });
    source.addEventListener("points", () => this.landed());
    addEventListener("pagehide", () => source.close(), { once: true });
  }

  connected(yes) {
    this.streaming = yes;
    this.showDot();
  }

  showDot() {
    this.element.querySelector("[data-live-dot]")?.classList.toggle("on", this.streaming);
  }

  soon() {
    const wait = Math.max(QUIET, BETWEEN - (Date.now() - this.looked));
    this.timer ||= setTimeout(() => { this.timer = 0; this.look(); }, wait);
  }

  landed() {
    this.soon();
    clearTimeout(this.lastTimer);
    this.lastTimer = setTimeout(() => this.look(), SETTLED);
  }

  recheck() {
    if (document.hidden) return;
    if (Date.now() - this.looked > (this.streaming ? RECHECK : POLL)) this.look();
  }

  async look() {
    if (document.hidden) return;
    if (this.asking) {
      this.askAgain = true;
      return;
    }
    this.asking = true;
    this.looked = Date.now();
    try {
      const answer = await fetch(this.element.dataset.live);
      if (answer.status === 401) location.assign("/signin");
      if (answer.ok) this.draw(await answer.text());
    } catch {
      this.connected(false);
    }
    this.asking = false;
    if (this.askAgain) this.soon();
    this.askAgain = false;
  }

  draw(html) {
    const next = new DOMParser().parseFromString(html, "text/html").getElementById("live");
    if (!next) return;
    const fresh = markFresh(this.element, next);
    this.element.replaceWith(next);
    this.element = next;
    this.showDot();
    showAges();
    if (fresh.length) showArrival(fresh[0]);
  }
}

const live = document.querySelector("[data-live]");
if (live) new Live(live);
