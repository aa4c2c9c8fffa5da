// Makes docs/timeline-light.png and docs/timeline-dark.png, the picture in the README, from a real run:
//
//   scripts/ci/page.sh    # installs what this needs
//   POOLKEEPER_PAGE_MODULES=~/.cache/poolkeeper-ci/page node scripts/timeline-picture.mjs

import fs from "node:fs";
import path from "node:path";

import { launch, open, poolkeeper, scratch } from "../tests/dashboard/rig.mjs";

// An agent that takes its time, and now and then meets a limit or fails. What it does follows from its task alone.
const AGENT = `
n=$(printf %s "$POOLKEEPER_TASK_ID/$POOLKEEPER_ATTEMPT" | cksum | cut -d' ' -f1)
sleep $(( n % 3 )).$(( n % 8 + 2 ))
case $(( n % 13 )) in
2 | 9) echo '{"outcome":"RateLimited","retryAfter":"'$(( 3 + n % 4 ))'s"}' > "$POOLKEEPER_RESULT"; exit 75 ;;
5) echo "the tests do not pass" >&2; exit 1 ;;
esac`;

const dir = scratch();
fs.writeFileSync(path.join(dir, "issues.txt"), Array.from({ length: 70 }, (_, n) => `Issue ${n + 1}\n`).join(""));
const ran = poolkeeper(["run", "--local", "agents", "--workers", "6", "--tasks", "issues.txt", "--out", "results", "--", "sh", "-c", AGENT], { cwd: dir });
if (ran.status > 1) throw new Error(ran.stderr);
const browser = await launch();
for (const dark of [false, true]) {
  const { page, close } = await open(browser, path.join(fs.realpathSync(dir), "results/report.html"), { width: 1080, height: 900, dark });
  const board = await page.locator(".board").boundingBox();
  await page.screenshot({ path: `docs/timeline-${dark ? "dark" : "light"}.png`, clip: { x: 0, y: 0, width: 1080, height: Math.ceil(board.y + board.height + 16) } });
  await close();
}
await browser.close();
fs.rmSync(dir, { recursive: true, force: true });
