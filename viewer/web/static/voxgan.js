// What the page does beside its template: gestures on the picture, files, downloads, keys, coming back after the
// connection was gone. Everything else is said in page.html and done by the server.
(() => {
  "use strict";

  const isLost = () => Boolean(document.querySelector(".vx-lost")); // what trame's client shows then; it still says true
  const connected = () => Boolean(window.trame?.client?.isConnected?.() && window.trame.state) && !isLost();
  const state = (name) => window.trame?.state?.get(name);
  const ask = (name, values = []) => (connected() ? window.trame.trigger(name, values).catch(() => {}) : Promise.resolve());

  // A slider's last value waits in the client while another call is on its way; a button must not overtake it.
  const ordering = setInterval(() => {
    const trame = window.trame;
    if (!trame) return;
    clearInterval(ordering);
    const send = trame.trigger;
    trame.trigger = (...call) => {
      const waiting = connected() ? [...trame.state.dirtyKeys] : [];
      if (waiting.length) {
        trame.state.dirtyKeys.clear();
        const changes = waiting.map((key) => ({ key, value: trame.state.get(key) }));
        trame.client.getRemote().Trame.updateState(changes).catch(() => {});
      }
      return send(...call);
    };
  }, 20);

  // ---- The view: wishes are added up, and go out one at a time; the answer comes with the picture.

  const wish = { turn: 0, tilt: 0, zoom: 1, right: 0, up: 0 };
  let asking = false;

  function look(change) {
    wish.turn += change.turn || 0;
    wish.tilt += change.tilt || 0;
    wish.zoom *= change.zoom || 1;
    wish.right += change.right || 0;
    wish.up += change.up || 0;
    if (asking) return;
    asking = true;
    requestAnimationFrame(async () => {
      const values = [wish.turn, wish.tilt, wish.zoom, wish.right, wish.up];
      Object.assign(wish, { turn: 0, tilt: 0, zoom: 1, right: 0, up: 0 });
      await ask("look", values);
      asking = false;
      if (wish.turn || wish.tilt || wish.zoom !== 1 || wish.right || wish.up) look({});
    });
  }

  const fingers = new Map(); // pointer id → place

  function spread() {
    const [a, b] = [...fingers.values()];
    return { distance: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  }

  function onHand(event) {
    return event.target instanceof Element ? event.target.closest("#shape") : null;
  }

  document.addEventListener("pointerdown", (event) => {
    const hand = onHand(event);
    if (!hand || (event.pointerType === "mouse" && event.button > 2)) return;
    hand.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });

  document.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    const hand = document.getElementById("shape");
    if (!before || !hand) return;
    const height = hand.clientHeight || 1;
    const two = fingers.size === 2 ? spread() : null;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (two) {
      const now = spread();
      look({ zoom: now.distance / (two.distance || 1), right: (now.x - two.x) / height, up: (two.y - now.y) / height });
    } else if (fingers.size === 1) {
      const [x, y] = [event.clientX - before.x, event.clientY - before.y];
      if (event.shiftKey || event.buttons & 6) look({ right: x / height, up: -y / height });
      else look({ turn: (-x * 240) / height, tilt: (y * 180) / height });
    }
  });

  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
    document.addEventListener(kind, (event) => fingers.delete(event.pointerId));
  }

  document.addEventListener("wheel", (event) => {
    if (!onHand(event)) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 30 : 1);
    look({ zoom: Math.exp(-Math.max(-200, Math.min(200, pixels)) / 500) });
  }, { passive: false });

  document.addEventListener("contextmenu", (event) => { if (onHand(event)) event.preventDefault(); });

  // ---- Playing: to and fro along the path, as fast as pictures come

  let playing = 0; // 1 forwards, -1 backwards, 0 not at all

  function play(wished = !playing) {
    const running = playing !== 0;
    playing = wished ? 1 : 0;
    window.trame.state.set("playing", Boolean(wished));
    if (wished && !running) {
      let before = performance.now();
      const next = (now) => {
        if (!playing || !connected()) return;
        const last = state("last");
        if (!window.trame.client.isBusy()) { // otherwise the picture before is still on its way
          let position = state("position") + (playing * (now - before)) / 2800;
          before = now;
          if (position >= last) [position, playing] = [last, -1];
          if (position <= 0) [position, playing] = [0, 1];
          window.trame.state.set("position", Math.round(position * 1000) / 1000);
        }
        requestAnimationFrame(next);
      };
      requestAnimationFrame(next);
    } else if (!wished && running) {
      ask("settle");
    }
  }

  // ---- Following: the knob and the card of what is shown stay in sight where there are more anchors than room

  const margin = 60; // pixels on both sides of the knob, for the card above it
  let followed = "";
  let held = false; // the knob follows the pointer, and must not be moved away under it

  function follow() {
    const track = document.querySelector(".vx-track");
    const cards = track?.querySelector(".vx-anchors");
    const count = cards?.children.length;
    if (held || !count || count !== state("last") + 1) return; // the page is not as far as its state
    const now = [state("position"), count, track.clientWidth].join(" ");
    if (now === followed) return;
    followed = now;
    const { left, width } = cards.children[0].getBoundingClientRect(); // all are as wide
    const knob = left - track.getBoundingClientRect().left + width * (Number(state("position")) + 0.5);
    if (knob < margin) track.scrollLeft += knob - margin;
    else if (knob > track.clientWidth - margin) track.scrollLeft += knob - track.clientWidth + margin;
  }

  setInterval(follow, 60);
  document.addEventListener("pointerdown", (event) => { held = Boolean(event.target.closest?.(".vx-slide")); }, true);
  for (const kind of ["pointerup", "pointercancel"]) document.addEventListener(kind, () => { held = false; }, true);

  // ---- Files

  const mostFiles = 8; // at once
  const wanted = { photo: "photo_suffixes", session: "session_suffixes" };

  function choose(kind) {
    const input = document.getElementById("file");
    input.accept = state(wanted[kind] || "file_suffixes") || "";
    input.multiple = kind !== "session";
    input.value = "";
    input.click();
  }

  // Send files one after the other; what was said about one is said again at the end, or the next would hide it.
  async function upload(files) {
    const all = [...files];
    const lines = [];
    for (const [index, file] of all.slice(0, mostFiles).entries()) {
      if (index) await rest();
      if (!connected()) return;
      const line = await send(file);
      if (line) lines.push(all.length > 1 && !line.includes(file.name) ? `${file.name}: ${line}` : line);
    }
    if (all.length > mostFiles) lines.push(`${all.length} files came; only the first ${mostFiles} were taken`);
    if (lines.length) await complain(lines.join(" · ").slice(0, 900));
  }

  // Send one file; return what went wrong, or "".
  async function send(file) {
    const most = state("most_megabytes");
    if (file.size > most * 2 ** 20) return `${file.name} is over ${most} MB; make it smaller`;
    const query = new URLSearchParams({ name: file.name, up: state("mesh_up") || "z" });
    try {
      const answer = await fetch(`upload?${query}`, { method: "POST", body: file });
      return answer.ok ? "" : (await answer.text()).trim();
    } catch {
      return `${file.name} could not be sent; try again`;
    }
  }

  // Wait until nothing is worked on: the shape nearest to a mesh is looked for after the mesh has come.
  async function rest() {
    do await new Promise((done) => setTimeout(done, 100)); while (connected() && state("work"));
  }

  const complain = (line) => ask("complain", [line]);

  document.addEventListener("change", (event) => {
    if (event.target.id === "file") upload(event.target.files);
  });

  const carriesFile = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  let inside = 0; // elements that are being dragged over

  document.addEventListener("dragenter", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    inside += 1;
    document.body.classList.add("vx-dropping");
  });
  document.addEventListener("dragover", (event) => { if (carriesFile(event)) event.preventDefault(); });
  document.addEventListener("dragleave", (event) => {
    if (!carriesFile(event)) return;
    inside = Math.max(0, inside - 1);
    if (!inside) document.body.classList.remove("vx-dropping");
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    inside = 0;
    document.body.classList.remove("vx-dropping");
    upload(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    upload(event.clipboardData?.files || []);
  });

  async function download(kind) {
    if (!state("download_size")) window.trame.state.set("download_size", 100); // the field was emptied
    const query = new URLSearchParams({ size: String(state("download_size") || 100) });
    let answer;
    try {
      answer = await fetch(`download/${kind}?${query}`);
    } catch {
      return complain("the file could not be fetched; try again");
    }
    if (!answer.ok) return; // the server has said on the page why
    const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") || "");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = name ? name[1] : `shape.${kind}`;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // ---- Keys

  let letters = true;
  try { letters = localStorage.getItem("voxgan-keys") !== "off"; } catch { /* a browser that keeps nothing */ }

  function useKeys(wished) {
    letters = wished;
    try { localStorage.setItem("voxgan-keys", wished ? "on" : "off"); } catch { /* the same */ }
  }

  const displays = ["mesh", "voxels", "points"];
  const single = {
    n: () => ask("add_random"),
    c: () => ask("add_class_next"),
    k: () => ask("keep"),
    x: () => ask("remove_nearest"),
    "<": () => ask("move_nearest", [-1]),
    ",": () => ask("move_nearest", [-1]),
    ">": () => ask("move_nearest", [1]),
    ".": () => ask("move_nearest", [1]),
    a: () => choose(),
    l: () => ask("interpolate", [state("interpolation") === "linear" ? "spherical" : "linear"]),
    e: () => typeInto("shape", ".vx-expression input"),
    d: () => typeInto("explore", ".vx-index input"),
    u: () => window.trame.state.set("mesh_up", state("mesh_up") === "z" ? "y" : "z"),
    m: () => ask("display", [displays[(displays.indexOf(state("display")) + 1) % 3]]),
    f: () => ask("clean", [!state("clean")]),
    r: () => ask("look_again"),
    0: () => ask("reset_sliders"),
    s: () => download("png"),
    t: () => download("gif"),
    v: () => download("mp4"),
    o: () => download("obj"),
    i: () => download("stl"),
    g: () => download("glb"),
    w: () => download("json"),
    z: () => ask("undo"),
    y: () => ask("redo"),
    h: () => window.trame.state.set("help_open", true),
    "?": () => window.trame.state.set("help_open", true),
  };
  for (const digit of "123456789") {
    single[digit] = () => (Number(digit) <= state("anchors").length ? ask("walk", [digit - 1]) : null);
  }
  const elsewhere = { // where no control has the focus
    ArrowLeft: () => ask("step", [-0.05]),
    ArrowRight: () => ask("step", [0.05]),
    " ": () => play(),
  };
  const onShape = {
    ArrowLeft: () => look({ turn: -10 }),
    ArrowRight: () => look({ turn: 10 }),
    ArrowUp: () => look({ tilt: 8 }),
    ArrowDown: () => look({ tilt: -8 }),
    "+": () => look({ zoom: 1.15 }),
    "=": () => look({ zoom: 1.15 }),
    "-": () => look({ zoom: 1 / 1.15 }),
    " ": () => play(),
  };

  async function typeInto(panel, field) {
    await window.trame.state.set("panel", panel);
    requestAnimationFrame(() => document.querySelector(field)?.select());
  }

  document.addEventListener("keydown", (event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    const typing = target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    let action = null;
    if (event.ctrlKey || event.metaKey) {
      if (event.altKey || typing) return;
      if (key === "z") action = () => ask(event.shiftKey ? "redo" : "undo");
      else if (key === "y") action = () => ask("redo");
      else if (key === "s") action = () => download("json");
    } else if (!event.altKey && !typing) {
      const card = target.closest("[data-anchor]");
      if (target.id === "shape") action = onShape[key];
      else if (target === document.body) action = elsewhere[key];
      else if (card && event.key === "Delete") action = () => ask("remove", [card.dataset.anchor]);
      if (!action && letters && !document.querySelector(".v-overlay--active")) action = single[key];
    }
    if (!action || !connected()) return;
    event.preventDefault();
    action();
  });

  // ---- Coming back

  setInterval(async () => {
    if (!isLost()) return;
    try {
      const answer = await fetch("alive");
      if (answer.ok || answer.status === 404) window.location.reload();
    } catch { /* not yet */ }
  }, 1000);

  // A notebook that shows this page in a frame shows a picture until it hears that the page works.
  const telling = setInterval(() => {
    if (!connected()) return;
    clearInterval(telling);
    if (window.parent !== window) window.parent.postMessage("voxgan works", "*");
  }, 200);

  document.addEventListener("focusin", (event) => {
    const box = document.getElementById("single-keys");
    if (box && event.target.closest?.(".vx-help")) box.checked = letters;
  });

  window.voxgan = { choose, download, play, upload, useKeys, turn: (turn, tilt) => look({ turn, tilt }), zoom: (zoom) => look({ zoom }) };
})();
