// A block that scrolls can be reached by the keyboard.
"use strict";
for (const block of document.querySelectorAll("pre, pre > code, .table-wrapper")) {
  if (block.scrollWidth > block.clientWidth || block.scrollHeight > block.clientHeight) block.tabIndex = 0;
}
