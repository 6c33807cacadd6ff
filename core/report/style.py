"""The style sheet of the report: DeepDeck's colors, light and dark by the reader's preference."""

CSS = """
:root{--bg:#F4F6F9;--card:#FFF;--border:#DFE4EB;--text:#1A2130;--muted:#566173;--accent:#3D5BF5;
--ok:#12805C;--warning:#9A6700;--error:#C62F3D;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--bg:#0E1117;--card:#161B23;--border:#262E3A;
--text:#E7EAF0;--muted:#98A3B3;--accent:#6E8BFF;--ok:#3FB97F;--warning:#E6A23C;--error:#F0616D}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:14px/1.5 Inter,"Segoe UI","SF Pro Text",
"Noto Sans","Microsoft YaHei UI","PingFang SC","Noto Sans CJK SC","WenQuanYi Micro Hei",sans-serif;
font-variant-numeric:tabular-nums}
.page{max-width:1100px;margin:0 auto;padding:22px}
h1{font-size:22px;margin:0 0 2px}h2{font-size:15px;margin:0 0 8px}
.muted{color:var(--muted)}
.card{background:var(--card);border:1px solid var(--border);border-radius:8px;padding:14px 16px;
margin-top:12px;overflow-x:auto}
.figures{display:flex;flex-wrap:wrap;gap:28px}
.figures b{display:block;font-size:20px;font-weight:600}
.grid-2{display:grid;grid-template-columns:repeat(auto-fit,minmax(380px,1fr));gap:12px}
.grid-2 .card{margin-top:0}.grid-2{margin-top:12px}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid var(--border);
vertical-align:top}
th{color:var(--muted);font-weight:500}td.n{text-align:right}th.n{text-align:right}
tr:last-child td{border-bottom:0}
.chip{display:inline-block;border-radius:10px;padding:1px 10px;font-size:12px;
border:1px solid currentColor}
.completed,.better{color:var(--ok)}.failed,.lost,.worse{color:var(--error)}
.stopped{color:var(--warning)}.running,.starting{color:var(--accent)}
.answer{white-space:pre-wrap;overflow-wrap:anywhere}
svg{width:100%;height:auto;display:block}
svg text{font-size:11px;fill:var(--muted)}svg .end{text-anchor:end}svg .middle{text-anchor:middle}
svg .grid{stroke:var(--border)}
svg polyline{fill:none;stroke:var(--series);stroke-linejoin:round}
svg .raw{opacity:.35;stroke-width:1}svg .bold{stroke-width:1.8}
svg .eval{stroke:#E69F00;stroke-width:1.5;stroke-dasharray:5 3}svg .eval-dot{fill:#E69F00}
svg .alarm{fill:var(--error)}svg .checkpoint{fill:var(--ok)}
svg .resume{stroke:var(--muted);stroke-dasharray:2 4}
.loss{--series:#4C8DFF}.grad_norm{--series:#00A37A}.learning_rate{--series:#C77CFF}
.memory{--series:#E0703A}
.switch{float:right}.switch input{position:absolute;opacity:0}
.switch label{padding:3px 10px;border:1px solid var(--border);border-radius:6px;cursor:pointer}
.switch input:checked+label{border-color:var(--accent);color:var(--accent)}
.switch input:focus-visible+label{outline:2px solid var(--accent)}
body:has(#show-en:checked) .zh{display:none}body:has(#show-zh:checked) .en{display:none}
@media print{.switch{display:none}.card{break-inside:avoid}}
"""
