#include "eaq/report/page.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace eaq::report_internal {

namespace {

// Series colours: Okabe & Ito, "Color Universal Design" (2008); the dark set is the same hues, lighter.
constexpr char kLight[] =
    R"css(--bg:#fdfdfc;--fg:#1d2329;--dim:#5b6570;--line:#d9dde1;--box:#f3f5f6;--good:#00704f;--bad:#b3261e;--accent:#0a5c91;--row:#eaf4fb;--shade:#00000038;
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b5578f;--c4:#a67c00;--c5:#2f8fc4;--c6:#4d4d4d;--c7:#8a6d3b)css";
constexpr char kDark[] =
    R"css(--bg:#14181c;--fg:#e4e7ea;--dim:#9aa5af;--line:#333b43;--box:#1d2329;--good:#4fc79b;--bad:#ff8a80;--accent:#7cc4f2;--row:#1b2c38;--shade:#ffffff40;
--c0:#56b4e9;--c1:#ff9445;--c2:#3fd1a2;--c3:#e59bc7;--c4:#f0cf4a;--c5:#8fd0f5;--c6:#c4c9ce;--c7:#d2b06f)css";

constexpr char kPictures[] =
    R"css(svg text{fill:var(--fg);font:12px system-ui,"DejaVu Sans",sans-serif}svg text.name{font-weight:600}
.band{fill:var(--good);fill-opacity:.13}.grid{stroke:var(--line)}.zero,.axis{stroke:var(--dim)}
.heat{fill:var(--c0)}.void{fill:none;stroke:var(--dim);stroke-dasharray:3 2}
.c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}.c5{fill:var(--c5)}.c6{fill:var(--c6)}.c7{fill:var(--c7)}
.l0,.l1,.l2,.l3,.l4,.l5,.l6,.l7{fill:none;stroke-width:1.5}
.l0{stroke:var(--c0)}.l1{stroke:var(--c1)}.l2{stroke:var(--c2)}.l3{stroke:var(--c3)}.l4{stroke:var(--c4)}.l5{stroke:var(--c5)}.l6{stroke:var(--c6)}.l7{stroke:var(--c7)}
.lo{fill:none;stroke:var(--dim);stroke-opacity:.38}.front{fill:none;stroke:var(--fg);stroke-width:7;stroke-opacity:.16;stroke-linejoin:round;stroke-linecap:round}.ring{fill:none;stroke:var(--fg)}
)css";

constexpr char kBefore[] = R"css(
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1300px;margin:0 auto;padding:28px 20px 64px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 4px}
h1.part{margin-top:72px;padding-top:14px;border-top:3px solid var(--accent)}
h2{font-size:1.2rem;margin:44px 0 8px;padding-top:10px;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:20px 0 4px}
h4{font-size:.9rem;margin:10px 0 0;font-weight:600}
p{margin:8px 0;max-width:100ch}
.dim,figcaption,.note{color:var(--dim);font-size:.88rem}
.verdicts{list-style:none;padding:0;margin:14px 0;display:grid;gap:10px;grid-template-columns:repeat(auto-fit,minmax(260px,1fr))}
.verdicts li{background:var(--box);border-left:4px solid var(--accent);border-radius:4px;padding:12px 14px}
.verdicts i{display:block;font-style:normal;font-size:.85rem;color:var(--dim)}
.verdicts b{display:block;font-size:1.1rem;line-height:1.3}
.verdicts span{display:block;font-size:.88rem;line-height:1.4;color:var(--dim);margin-top:6px}.verdicts b+span{color:var(--fg)}
.boxes{display:grid;gap:12px;grid-template-columns:repeat(auto-fit,minmax(min(380px,100%),1fr))}
.box{background:var(--box);border-radius:6px;padding:10px 18px;font-size:.92rem;overflow-wrap:anywhere}
.box ul{margin:6px 0;padding-left:20px}
.warn{border-left:4px solid var(--bad)}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch;background:linear-gradient(90deg,var(--bg) 40%,transparent) 0 0/48px 100% no-repeat local,linear-gradient(270deg,var(--bg) 40%,transparent) 100% 0/48px 100% no-repeat local,linear-gradient(90deg,var(--shade),transparent) 0 0/14px 100% no-repeat scroll,linear-gradient(270deg,var(--shade),transparent) 100% 0/14px 100% no-repeat scroll}
table{border-collapse:separate;border-spacing:0;font-size:.88rem;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:5px 8px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th{color:var(--dim);font-weight:600;vertical-align:bottom}
thead th{border-bottom:2px solid var(--dim);white-space:normal}
tr.over th,tr.over td{border-bottom:0;padding-bottom:0;font-size:.8rem;font-weight:400}tr.over th{text-align:center;border-bottom:1px solid var(--line)}
th small{display:block;font-weight:400;white-space:nowrap}.ph{display:none!important}
.wide{font-size:.8rem}.wide th,.wide td{padding:5px 5px}.wide small{font-size:.72rem}.fit{width:auto}.fit th,.fit td{padding:5px 14px}
th[scope=row],.l{text-align:left}
th[scope=row]{color:var(--fg);font-weight:400}
tr.best th[scope=row],.low{font-weight:700}
tr.best{background:var(--row)}
tr.first>*{border-top:1px solid var(--dim)}tbody tr:first-child>*{border-top:0}.sorted tr.first>*{border-top:0}
.better,.equivalent{color:var(--good)}.worse{color:var(--bad)}.undecided{color:var(--dim)}
th button{all:unset;cursor:pointer}th button:hover,th button:focus-visible{text-decoration:underline}
th[aria-sort=ascending] button::after{content:" \25B2"}th[aria-sort=descending] button::after{content:" \25BC"}
figure{margin:14px 0}
.pair{display:grid;gap:0 28px;grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr))}.pair>div{min-width:0}
svg{max-width:100%;height:auto;display:block}
)css";

constexpr char kAfter[] =
    R"css(.panels{display:grid;gap:6px 14px;grid-template-columns:repeat(auto-fill,min(300px,100%))}.panels>div{min-width:0;break-inside:avoid}
details{margin:6px 0}summary{cursor:pointer;color:var(--accent);font-size:.88rem}
pre{background:var(--box);padding:10px 14px;overflow-x:auto;border-radius:6px;font-size:.82rem;line-height:1.45}
code{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.9em;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:8px 0}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
@media (max-width:600px){main{padding:18px 14px 48px}svg.big{max-width:none;width:620px}.sch{display:none}.ph{display:block!important;color:var(--dim)}.wide th[scope=row]{white-space:normal}dl{grid-template-columns:1fr}dd{margin-bottom:6px}th[scope=row]{position:sticky;left:0;background:var(--bg)}tr.best th[scope=row]{background:var(--row)}}
@media print{main{max-width:none}.scroll{overflow:visible}}
)css";

}  // namespace

absl::string_view PageStyle() {
  static const auto* const style = new std::string(absl::StrCat("\n:root{color-scheme:light dark;", kLight,
                                                                "}\n@media (prefers-color-scheme:dark){:root{", kDark,
                                                                "}}", kBefore, kPictures, kAfter));
  return *style;
}

std::string PictureStyle() {
  std::vector<std::pair<std::string, std::string>> values;
  for (const absl::string_view one : absl::StrSplit(kLight, ';')) {
    const std::vector<std::string> parts = absl::StrSplit(absl::StripAsciiWhitespace(one), absl::MaxSplits(':', 1));
    if (parts.size() == 2) values.emplace_back(absl::StrCat("var(", parts[0], ")"), parts[1]);
  }
  return absl::StrReplaceAll(kPictures, values);
}

absl::string_view PageScript() {
  return R"js(
// A click on a column's head sorts its table by it: upwards, downwards, as it was. Cells carry their number in data-v.
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  if (table.classList.contains('wide') && !table.closest('section').querySelector('.hint')) {
    const hint = document.createElement('p');
    hint.className = 'note hint';
    hint.textContent = 'Click on a column\u2019s head to sort by it, a third time for the first order.';
    table.parentElement.before(hint);
  }
  const original = [...table.tBodies[0].rows];
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    button.title = 'sort';
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const before = head.getAttribute('aria-sort'), down = before === 'ascending';
      heads.forEach(h => h.removeAttribute('aria-sort'));
      table.classList.toggle('sorted', before !== 'descending');
      if (before === 'descending') return table.tBodies[0].replaceChildren(...original);
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const value = row => {
        const cell = row.cells[column];
        return 'v' in cell.dataset ? (cell.dataset.v === '' ? NaN : Number(cell.dataset.v)) : cell.textContent;
      };
      const rows = original.map((row, at) => ({row, at, v: value(row)}));
      rows.sort((a, b) => {
        const x = Number.isNaN(a.v), y = Number.isNaN(b.v);
        if (x || y) return x - y || a.at - b.at;
        const order = a.v < b.v ? -1 : a.v > b.v ? 1 : 0;
        return (down ? -order : order) || a.at - b.at;
      });
      table.tBodies[0].replaceChildren(...rows.map(r => r.row));
    });
  });
}
)js";
}

}  // namespace eaq::report_internal
