// The data of the page of a run are in it.

window.poolkeeper = start(JSON.parse(find("data").textContent), summary);
