//! The supervisor in bash of `docs/supervisors.md`, as it stands there.
use std::os::unix::fs::PermissionsExt;

use poolkeeper_testkit::local_server::{Rig, Said};
use serde_json::json;

use crate::PROGRAM;
use crate::get::create_pool;

#[tokio::test]
async fn the_supervisor_of_the_page_runs_every_task_to_its_end() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/supervisors.md");
    let page = std::fs::read_to_string(page).unwrap();
    let script = page.split("```bash\n").nth(1).unwrap().split("```").next().unwrap();
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "workers", json!({"min": 1, "max": 2, "cooldown": "1s", "rateLimit": {"exitCodes": [75]}})).await;
    // The second task meets a rate limit in its first attempt, and the third one fails.
    let program = rig.file("fetch-one");
    let ran = rig.file("ran");
    let text = format!(
        "#!/bin/sh\necho \"$POOLKEEPER_TASK_ID $POOLKEEPER_ATTEMPT $URL\" >>{}\n\
         case $POOLKEEPER_TASK_ID$POOLKEEPER_ATTEMPT in b1) exit 75 ;; c1) exit 1 ;; esac\n",
        ran.display()
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(rig.file("tasks.txt"), "a http://a\nb http://b\nc http://c\nd http://d\n").unwrap();
    let script = script.replace("fetch-one", &program.to_string_lossy());
    let dir = rig.file("");
    let said = Said::of(rig.shell("bash", &script).current_dir(dir).output().unwrap());
    let ran = std::fs::read_to_string(ran).unwrap_or_default();
    assert_eq!(ran, "a 1 http://a\nb 1 http://b\nb 2 http://b\nc 1 http://c\nd 1 http://d\n", "{}", said.stderr);
    for (phase, names) in [("Succeeded", "a b d"), ("Failed", "c")] {
        let ended = rig.run(&["get", "dispatches", "--phase", phase, "-o", "name"]).exits(0).stdout;
        let ended = ended.lines().map(|line| line.rsplit('/').next().unwrap()).collect::<Vec<_>>().join(" ");
        assert_eq!(ended, names, "{}", said.stderr);
    }
}
