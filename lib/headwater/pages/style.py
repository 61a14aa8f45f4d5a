"""The look that every page shares: one palette by day and by night, from a phone to paper."""

STYLE = """
:root{color-scheme:light dark;--paper:#f7f8f9;--card:#fff;--ink:#1b2430;--soft:#5a6675;--line:#dfe4ea;
--accent:#3b6ea5;--good:#1a7044;--good-bg:#e4f4ea;--warn:#855600;--warn-bg:#fcf1d6;--bad:#ab2330;--bad-bg:#fbe6e8}
@media (prefers-color-scheme:dark){:root{--paper:#12161b;--card:#1a2027;--ink:#e5eaf0;--soft:#9aa7b5;--line:#2d3640;
--accent:#7fb0e0;--good:#6fd49c;--good-bg:#173426;--warn:#edbe62;--warn-bg:#382c12;--bad:#ff929a;--bad-bg:#40191e}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:66rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.5rem;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:1.125rem;margin:2.5rem 0 .75rem}
h3{font-size:1rem;margin:1.5rem 0 .4rem}
h2 small,h3 small{font-weight:400;color:var(--soft);margin-left:.5rem}
p{margin:.25rem 0}
p+.table,p+.cards{margin-top:.6rem}
.soft{color:var(--soft);overflow-wrap:anywhere}
.verdict{border-radius:10px;padding:1.1rem 1.25rem;margin:1.25rem 0}
.verdict strong{font-size:1.25rem;line-height:1.3;display:block}
.verdict ul{margin:.6rem 0 0;padding-left:1.2rem}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.verdict.good{background:var(--good-bg)}.verdict.warn{background:var(--warn-bg)}.verdict.bad{background:var(--bad-bg)}
.verdict li,.verdict p{color:var(--ink)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin:0}
dl div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.7rem .9rem}
dt{color:var(--soft);font-size:.875rem}
dd{margin:0;font-size:1.25rem;font-variant-numeric:tabular-nums}
.table{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
th,td{text-align:left;padding:.5rem .75rem;vertical-align:top}
th{font-weight:500;color:var(--soft);font-size:.8125rem;white-space:nowrap}
tr+tr td,thead+tbody tr:first-child td{border-top:1px solid var(--line)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.mark{font-weight:600;white-space:nowrap}
a{color:var(--accent)}
nav{margin:1.25rem 0 0;display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;font-size:.9375rem}
code{font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.note{background:var(--card);border:1px solid var(--line);border-left:3px solid var(--warn);border-radius:10px;
padding:.8rem 1rem;margin:.75rem 0}
.note strong{display:block;font-weight:600}
.note code{display:block;background:var(--paper);border-radius:6px;padding:.4rem .6rem;margin-top:.4rem}
main>dl{margin-top:1.25rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:.75rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem .9rem;min-width:0}
.card h3{margin:0;font-size:.9375rem;font-weight:600;overflow-wrap:anywhere}
.card b{display:block;font-size:1.25rem;font-weight:400;font-variant-numeric:tabular-nums}
.card dl{gap:.4rem .5rem;margin-top:.6rem}
.of4 dl{grid-template-columns:repeat(4,1fr)}.of3 dl{grid-template-columns:repeat(3,1fr)}
.card dl div{background:none;border:0;border-radius:0;padding:0;min-width:0}
.card dt{font-size:.75rem}.card dd{font-size:.875rem;overflow-wrap:anywhere}
.axis{display:flex;justify-content:space-between;color:var(--soft);font-size:.75rem;border-top:1px solid var(--line);
padding-top:.15rem;font-variant-numeric:tabular-nums}
svg{display:block;width:100%}
svg.chart{height:3.5rem;margin-top:.5rem}
svg.strip{height:.6rem;margin:.45rem 0;background:var(--paper);border-radius:3px}
path.bar{fill:var(--accent)}
path.line,path.good,path.bad{fill:none;stroke:var(--accent);stroke-width:2;stroke-linejoin:round;stroke-linecap:round;
vector-effect:non-scaling-stroke}
path.good,path.bad{stroke-width:7}path.bad{stroke:var(--bad)}
.shares{display:grid;grid-template-columns:minmax(3rem,auto) 1fr auto;gap:0 .6rem;margin-top:.4rem;font-size:.875rem;
font-variant-numeric:tabular-nums}
.shares span{overflow-wrap:anywhere}.shares span:nth-child(3n){text-align:right}
summary{cursor:pointer;color:var(--soft);overflow-wrap:anywhere}
details code{display:block;margin:.3rem 0 .2rem;padding-left:.7rem;border-left:2px solid var(--line)}
@media (max-width:44rem){main{padding:1.25rem .9rem 3rem}
.stack thead{display:none}.stack tbody,.stack tr,.stack td{display:block}
.stack tr{padding:.6rem .9rem}.stack tr+tr{border-top:1px solid var(--line)}
.stack td,.stack td.n{border:0!important;padding:.12rem 0;display:flex;justify-content:space-between;gap:1rem;
text-align:right;white-space:normal;overflow-wrap:anywhere}
.stack td::before{content:attr(data-label);color:var(--soft);font-weight:400;text-align:left;flex:none}
.stack td:first-child{font-weight:600}
.stack td.block{display:block;text-align:left}
.stack td svg{max-width:60%}}
@media print{body{background:none}tr,.card,dl div{break-inside:avoid}
details::details-content{content-visibility:visible;display:block}}
"""
