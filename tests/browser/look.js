// What nobody should see on a page, in words: exceptions, a page wider than its window, things on top of each other, words cut off.
() => {
    const found = [], main = document.querySelector("[data-testid=stMain]");
    const said = (e) => (e.innerText || e.querySelector("[data-testid]")?.dataset.testid || "?").slice(0, 60).replaceAll("\n", " ");
    for (const e of document.querySelectorAll("[data-testid=stException]")) found.push(`exception: ${e.innerText.slice(0, 200)}`);
    for (const e of document.querySelectorAll("[data-testid=stAlert]"))
        if (/This part could not be drawn|这部分无法绘制/.test(e.innerText)) found.push(`unforeseen: ${e.innerText.slice(0, 200)}`);
    if (main.scrollWidth > main.clientWidth) found.push(`${main.scrollWidth - main.clientWidth} pixels wider than the window`);
    const boxes = [...main.querySelectorAll("[data-testid=stElementContainer]")]
        .filter((e) => !e.querySelector("[data-testid=stElementContainer], [data-testid=stSkeleton]"))
        .filter((e) => !e.closest("details:not([open])") && e.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
        .map((e) => [e, e.getBoundingClientRect()])
        .filter(([, box]) => box.width > 4 && box.height > 4);
    boxes.forEach(([e, a], at) => boxes.slice(at + 1).forEach(([f, b]) => {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        const inOneScroll = e.closest("[data-testid=stVerticalBlock]")?.scrollHeight > 0;
        if (across > 3 && down > 3 && inOneScroll) found.push(`"${said(e)}" lies on "${said(f)}" by ${across | 0} x ${down | 0}`);
    }));
    for (const e of main.querySelectorAll("[data-testid=stMetricValue], [data-testid=stMetricLabel], [data-testid=stHeading]")) {
        const inner = [e, ...e.querySelectorAll("*")].find((one) => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0);
        if (inner && getComputedStyle(inner).overflow !== "visible") found.push(`cut short: "${said(e)}"`);
    }
    return found;
}
