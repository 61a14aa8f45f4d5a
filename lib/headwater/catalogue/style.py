"""What the catalogue's page has beside the shared look: feature cards, lineage, SQL, and a search without a server."""

STYLE = """
.tags{display:flex;flex-wrap:wrap;gap:.3rem;margin:.5rem 0 0;padding:0;list-style:none}
.tag{font:inherit;font-size:.75rem;line-height:1.5;color:var(--soft);background:var(--paper);
border:1px solid var(--line);border-radius:99px;padding:.05rem .6rem}
button.tag,.copy{cursor:pointer}
button.tag:hover,button.tag[aria-pressed=true]{color:var(--ink);border-color:var(--accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.find{display:flex;flex-wrap:wrap;gap:.5rem .75rem;align-items:center;margin:.75rem 0}
.find[hidden]{display:none}
.find input{font:inherit;flex:1 1 16rem;min-width:0;color:inherit;background:var(--card);
border:1px solid var(--line);border-radius:10px;padding:.45rem .8rem}
.find output{color:var(--soft);font-size:.875rem}
.find .tags{margin:0;flex-basis:100%}
.cards.features{grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr))}
.feature{display:flex;flex-direction:column;scroll-margin-top:1rem}
.feature[hidden]{display:none}
.feature:target{border-color:var(--accent);box-shadow:0 0 0 1px var(--accent)}
.feature h3{display:flex;flex-wrap:wrap;gap:0 .6rem;align-items:baseline;justify-content:space-between}
.feature h3 a{color:inherit;text-decoration:none}.feature h3 a:hover{text-decoration:underline}
.feature h3 code{font-weight:400;color:var(--soft)}
.feature .soft{font-size:.9375rem}
.feature .facts{margin-top:auto}
.feature .late{color:var(--warn);font-size:.875rem}
svg.rail{margin:.7rem 0 .2rem;overflow:hidden}
svg.rail text,.map text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:var(--ink)}
svg.rail text.stage,.map text.stage{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--soft)}
svg.rail path.line,.map path.line{stroke:var(--soft);stroke-opacity:.4;stroke-linecap:butt}
svg.rail circle{fill:var(--card);stroke:var(--accent);stroke-width:2}svg.rail circle.end{fill:var(--accent)}
.map{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem;margin:.6rem 0 .75rem;
overflow-x:auto}
.map svg{min-width:46rem}
.map rect{fill:var(--paper);stroke:var(--line)}.map .goal rect{fill:none;stroke:var(--accent);stroke-width:2}
.query{position:relative;margin-top:1.25rem}
.query pre{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem 1rem;margin:.5rem 0 0;
overflow-x:auto;line-height:1.3}
.query pre code{display:block;overflow-wrap:normal}
.copy{font:inherit;font-size:.8125rem;color:var(--accent);background:none;border:0;padding:0;margin-left:.75rem}
@media print{.find,.copy{display:none!important}.cards.features{grid-template-columns:1fr 1fr}
.feature[hidden]{display:flex}.query pre{white-space:pre-wrap}
.map svg{min-width:0}.query{break-inside:avoid}}
"""

SCRIPT = """
const field = document.getElementById('find'), told = document.getElementById('found');
const cards = [...document.querySelectorAll('.feature')], tags = [...document.querySelectorAll('button.tag')];
const pressed = tag => tag.getAttribute('aria-pressed') === 'true';
function search() {
  const words = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
  const wanted = tags.filter(pressed).map(tag => tag.textContent);
  let left = 0;
  for (const card of cards) {
    const text = card.textContent.toLowerCase(), own = card.dataset.tags.split(' ');
    card.hidden = !words.every(word => text.includes(word)) || !wanted.every(tag => own.includes(tag));
    left += !card.hidden;
  }
  told.value = left === cards.length ? `${left} features` : `${left} of ${cards.length} features`;
}
function clear() { field.value = ''; tags.forEach(tag => tag.setAttribute('aria-pressed', 'false')); search(); }
field.form.hidden = false;
field.form.addEventListener('submit', event => event.preventDefault());
field.addEventListener('input', search);
tags.forEach(tag => tag.addEventListener('click', () => {
  tag.setAttribute('aria-pressed', String(!pressed(tag))); search(); }));
addEventListener('hashchange', () => {
  const card = document.getElementById(location.hash.slice(1));
  if (card && card.hidden) { clear(); card.scrollIntoView(); } });
addEventListener('keydown', event => {
  if (event.key === '/' && document.activeElement !== field) { event.preventDefault(); field.focus(); }
  if (event.key === 'Escape' && document.activeElement === field) clear(); });
if (navigator.clipboard) for (const query of document.querySelectorAll('.query')) {
  const button = document.createElement('button');
  Object.assign(button, {type: 'button', className: 'copy', textContent: 'Copy'});
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(query.querySelector('code').textContent);
    button.textContent = 'Copied'; setTimeout(() => { button.textContent = 'Copy'; }, 1500); });
  query.querySelector('h3').append(button);
}
search();
"""
