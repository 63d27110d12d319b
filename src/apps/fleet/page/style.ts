/** Of all pages; served as a file, so that the pages' policy can forbid styles inside of them. */
export const style = `
:root { color-scheme: light dark; --line: #8884; --hover: #8881; --good: #2a8a4a; --warn: #b7791f; --bad: #c53030; --quiet: light-dark(#5f6368, #a0a4a8); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1rem 1.5rem 3rem; }
a { color: inherit; }
h1 { font-size: 1.3rem; margin: 0.4rem 0; }
h2 { font-size: 1rem; margin: 1.6rem 0 0.4rem; }
header p, .note, .none { color: var(--quiet); margin: 0; }
.tiles { display: flex; flex-wrap: wrap; gap: 0.6rem; margin: 1rem 0; padding: 0; list-style: none; }
.tiles a { border: 1px solid var(--line); border-radius: 0.5rem; display: block; min-width: 6rem; padding: 0.5rem 0.8rem; text-decoration: none; }
.tiles a[aria-current] { border-color: currentColor; }
.tiles strong { display: block; font-size: 1.4rem; font-weight: 600; line-height: 1.2; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: 0.35rem 0.7rem 0.35rem 0; text-align: left; vertical-align: top; white-space: nowrap; }
tbody tr:hover { background: var(--hover); }
th { color: var(--quiet); font-size: 0.8rem; font-weight: 500; }
td.wide { white-space: normal; }
dl { display: grid; gap: 0.15rem 1.2rem; grid-template-columns: max-content 1fr; margin: 0; }
dl.row { display: flex; flex-wrap: wrap; gap: 0.4rem 2rem; margin-top: 0.8rem; }
dl.row dt { font-size: 0.8rem; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
.state::before { border-radius: 50%; content: ''; display: inline-block; height: 0.6em; margin-right: 0.45em; width: 0.6em; background: var(--quiet); }
.state.good::before { background: var(--good); }
.state.warn::before { background: var(--warn); }
.state.bad::before { background: var(--bad); }
.soon { color: var(--warn); }
.over, .problem { color: var(--bad); }
.plot { display: block; height: auto; width: 100%; }
.plot text { fill: var(--quiet); font-size: 11px; }
.plot .end { text-anchor: end; }
.plot .axis { stroke: var(--line); }
.plot .under { fill: var(--good); opacity: 0.12; }
.plot .round-trip { fill: none; stroke: var(--good); stroke-linecap: round; stroke-linejoin: round; stroke-width: 1.5; }
.plot .missed { stroke: var(--bad); stroke-width: 2; }
`;
