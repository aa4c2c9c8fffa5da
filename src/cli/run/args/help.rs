//! The end of the help text of `poolkeeper run`.

pub(super) const HELP: &str = "\
Exit codes:
  before the command starts  2 usage, 3 not found, 4 conflict, 6 no server or Docker Engine, 7 forbidden
  one command                its own; 128 + signal; 124 timed out
  a batch (--tasks)          0 all succeeded, 1 some failed, 75 only rate limits are left, or
                             --max-cost was reached;
                             with --resume, tasks that failed before count too
  both                       125 Poolkeeper failed, 126 or 127 the command cannot be run,
                             130 Ctrl-C, 141 standard output was closed

Results: --out DIR holds DIR/ID/stdout, stderr and result.json of the last attempt of each task.
ID is the JSON `id` of the task, else line-N. What a task of a batch prints is printed whole,
when the task has ended.

--progress json and --progress-file: each object has `time` and `event`, which is one of
  run          runId, pool, runtime, scope, workers, tasks, skipped, skippedFailed
  came         task: read from --tasks, where that is not a file
  started      task, attempt, worker; files
  ended        task, attempt, worker, outcome, seconds; exitCode, message, restsUntil,
               files (with --out: where its output is in DIR), spent (costUsd, inputTokens, cachedInputTokens, outputTokens)
  task         task, outcome, attempts: it is over
  workerReady  worker; credential
  workerGone   worker
  startFailed  failures, message: no worker can be started, for now
  note         message
  summary      succeeded, failed, rateLimited, notRun, skipped, skippedFailed,
               attempts, rateLimits, workers, outcomes, spent, spentBefore

Examples:
  poolkeeper run agents --tasks tasks.txt --out results -- agent -
  poolkeeper run agents --tasks tasks.txt --on limited 'jq -r .worker >> limits' -- agent -
  poolkeeper run --local --workers 3 --tasks urls.txt -- ./fetch.sh
  poolkeeper run --local --image agent:1 --credential a=env:TOKEN --tasks t.jsonl -- agent -";
