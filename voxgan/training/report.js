// The numbers below the pointer. The page says everything without it.
for (const svg of document.querySelectorAll("svg[data-curve]")) {
  const curve = JSON.parse(svg.dataset.curve);
  const cursor = svg.querySelector(".cursor");
  const out = svg.parentNode.querySelector(".at");
  const [low, high] = curve.span;
  const say = (v) => (v === null ? "–" : curve.percent ? `${+(100 * v).toPrecision(3)}%` : `${+v.toPrecision(4)}`);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * curve.wide;
    const wanted = low + ((x - curve.left) / (curve.right - curve.left)) * (high - low);
    let step = null;
    const words = [];
    for (const [name, steps, values] of curve.series) {
      let best = 0;
      for (let i = 1; i < steps.length; i++) if (Math.abs(steps[i] - wanted) < Math.abs(steps[best] - wanted)) best = i;
      if (step === null) step = steps[best];
      words.push(`${name} ${say(values[best])}`);
    }
    const place = curve.left + ((step - low) / (high - low)) * (curve.right - curve.left);
    cursor.setAttribute("transform", `translate(${place})`);
    cursor.setAttribute("visibility", "visible");
    out.textContent = `step ${Math.round(step).toLocaleString("en")}: ${words.join(", ")}`;
  });
  svg.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    out.textContent = "";
  });
}
