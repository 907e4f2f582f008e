/* Follows the loop: one event stream, and the same page fetched again where something changed.
   What is shown is always rendered by the server; this only swaps the parts marked data-live. */
"use strict";
(() => {
  const REFRESH_MS = 1000;
  const STALE_MS = 16000;
  const RETRY_MS = 5000;
  const csrf = document.querySelector('meta[name="csrf"]').content;
  const page = document.body.dataset.page;
  const connection = document.getElementById("connection");
  const stale = document.getElementById("stale");
  let lastNews = Date.now();
  let lastRefresh = 0;
  let timer = null;
  let busy = false;

  const utc = (ms) => new Date(ms).toISOString().slice(11, 19);

  function show(state, text) {
    if (connection.dataset.state === state) return;
    connection.dataset.state = state;
    connection.querySelector(".text").textContent = text;
    stale.hidden = state !== "lost";
    if (state === "lost") document.getElementById("stale-since").textContent = utc(lastNews);
  }

  function swap(fresh) {
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (!next) { window.location.reload(); return; }
      if (next.innerHTML === part.innerHTML) continue;
      const active = part.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      part.innerHTML = next.innerHTML;
      if (active) {
        for (const item of part.querySelectorAll("[data-key]")) if (item.dataset.key === active) item.focus();
      }
    }
    if (fresh.querySelectorAll("[data-live]").length !== document.querySelectorAll("[data-live]").length) {
      window.location.reload();
    }
    document.dispatchEvent(new CustomEvent("trimtab:refreshed"));
  }

  async function refresh() {
    if (busy || document.hidden || document.querySelector("dialog[open]")) return;
    busy = true;
    lastRefresh = Date.now();
    try {
      const answer = await fetch(window.location.href, { headers: { Accept: "text/html", "X-Trimtab-Refresh": "yes" }, cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (answer.redirected && new URL(answer.url).pathname === "/login") { window.location.reload(); return; }
      if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch { /* the stream notices that the server is away, and shows it */ }
    finally { busy = false; }
  }

  function soon() {
    if (timer !== null) return;
    timer = setTimeout(() => { timer = null; refresh(); }, Math.max(80, REFRESH_MS - (Date.now() - lastRefresh)));
  }

  function news() { lastNews = Date.now(); show("live", "Live"); }

  function follow() {
    const source = new EventSource("/api/v1/events");
    const listen = (name, act) => source.addEventListener(name, (event) => { news(); act(event); });
    listen("heartbeat", () => {});
    listen("assessment", (event) => {
      document.dispatchEvent(new CustomEvent("trimtab:assessment", { detail: JSON.parse(event.data) }));
      if (page === "overview") soon();
    });
    for (const name of ["alarm", "incident", "decision", "action", "verification", "loop", "notice"]) listen(name, soon);
    listen("reset", () => { document.dispatchEvent(new CustomEvent("trimtab:reset")); soon(); });
    let opened = false;
    source.onopen = () => { if (opened) soon(); opened = true; };
    source.onerror = () => {
      show("lost", "Not connected");
      if (source.readyState === EventSource.CLOSED) { source.close(); setTimeout(comeBack, RETRY_MS); }
    };
  }

  async function comeBack() {
    try {
      const answer = await fetch(window.location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.redirected) { window.location.reload(); return; }
      if (answer.ok) soon();
      follow();
    } catch { setTimeout(comeBack, RETRY_MS); }
  }

  function toast(text, bad) {
    const box = document.getElementById("toast");
    box.textContent = text;
    box.classList.toggle("bad", Boolean(bad));
    box.classList.add("shown");
    clearTimeout(box.timer);
    box.timer = setTimeout(() => box.classList.remove("shown"), bad ? 8000 : 3500);
  }

  async function place(order, title, reason) {
    const key = crypto.randomUUID ? crypto.randomUUID() : String(Date.now());
    try {
      const answer = await fetch(order, {
        method: "POST", signal: AbortSignal.timeout(15000),
        headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf, "Idempotency-Key": key },
        body: JSON.stringify({ reason }),
      });
      const body = await answer.json();
      if (answer.ok) toast("Done: " + title.replace(/\?$/, ""));
      else toast(body.detail || body.title || "That did not work", true);
    } catch { toast("No answer. Look at how things stand before repeating it.", true); }
    refresh();
  }

  const dialog = document.getElementById("confirm");
  function ask(button) {
    const { order, title, consequence, confirm } = button.dataset;
    document.getElementById("confirm-title").textContent = title;
    document.getElementById("confirm-consequence").textContent = consequence;
    const yes = document.getElementById("confirm-yes");
    yes.textContent = confirm;
    yes.classList.toggle("danger-fill", button.classList.contains("danger"));
    document.getElementById("confirm-reason").value = "";
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue === "yes") place(order, title, document.getElementById("confirm-reason").value);
    };
    dialog.showModal();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-order]");
    if (button) ask(button);
  });
  const signOut = document.getElementById("sign-out");
  if (signOut) {
    signOut.addEventListener("click", async () => {
      await fetch("/logout", { method: "POST", headers: { "X-CSRF-Token": csrf } });
      window.location.href = "/login";
    });
  }
  document.getElementById("confirm-reason").addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault(); // an order is given by its button only
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  setInterval(() => { if (Date.now() - lastNews > STALE_MS) show("lost", "Not connected"); }, 2000);
  if (page === "") setTimeout(() => window.location.reload(), RETRY_MS); // an error page tries again
  else follow();
})();
