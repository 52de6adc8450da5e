// Hetzner's own command line client against the fake cloud: what it accepts is close enough to the real API.
// It needs `hcloud` (Debian: hcloud-cli), or its path in HCLOUD_BIN; without it the test is skipped, and says so.
// The fake cloud is FAKE_CLOUD_BIN, or ./target/debug/fake-cloud.

import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

const HCLOUD = process.env.HCLOUD_BIN ?? "hcloud";
const FAKE_CLOUD = process.env.FAKE_CLOUD_BIN ?? "target/debug/fake-cloud";
const TOKEN = "hcloud-test-token";
const PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICWdWq42sptM/kYO7/5ADj7XtlhaY888WUWvO7UDD73I me@here";

const missing = spawnSync(HCLOUD, ["version"]).error;
const skip = missing ? `no hcloud here (${missing.code}): install hcloud-cli or set HCLOUD_BIN` : false;

// Starts the fake cloud on any free port; resolves to the process and its address.
function startFakeCloud() {
  const args = ["--port", "0", "--token", TOKEN, "--guests", "off", "--action-ms", "100", "--exit-with-stdin"];
  const child = spawn(FAKE_CLOUD, args, { stdio: ["pipe", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${FAKE_CLOUD} ended with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const ready = /^fake-cloud ready (\S+)$/.exec(line);
      if (ready) resolve({ child, url: ready[1] });
    });
  });
}

describe("hcloud against the fake cloud", { skip }, () => {
  let cloud;
  let home;

  async function hcloud(...args) {
    // A home of its own: contexts of whoever runs this must not matter.
    const env = { PATH: process.env.PATH, HOME: home, HCLOUD_ENDPOINT: `${cloud.url}/v1`, HCLOUD_TOKEN: TOKEN };
    const { stdout } = await promisify(execFile)(HCLOUD, args, { env, timeout: 60_000 });
    return stdout;
  }

  async function state() {
    return (await fetch(`${cloud.url}/_fake/state`)).json();
  }

  // Older clients do not wait for the end of the action, and until then the firewall is in use.
  async function deleteServer(name) {
    await hcloud("server", "delete", name);
    const deadline = Date.now() + 30_000;
    while ((await state()).servers.some((server) => server.name === name)) {
      assert.ok(Date.now() < deadline, `${name} is still there`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  before(async () => {
    home = await mkdtemp(join(tmpdir(), "hcloud-test-"));
    cloud = await startFakeCloud();
  });

  after(async () => {
    cloud?.child.stdin.end();
    await rm(home, { recursive: true, force: true });
  });

  it("creates with key, firewall, labels and user data, lists by label, and deletes", async () => {
    const userData = join(home, "user-data");
    await writeFile(userData, "#cloud-config\n");
    await hcloud("ssh-key", "create", "--name", "me", "--public-key", PUBLIC_KEY);
    await hcloud("firewall", "create", "--name", "wall");
    for (const name of ["one", "two"]) {
      await hcloud(
        ...["server", "create", "--name", name, "--type", "cx23", "--image", "debian-13", "--location", "fsn1"],
        ...["--ssh-key", "me", "--firewall", "wall", "--label", `name=${name}`, "--label", "managed-by=test"],
        ...["--user-data-from-file", userData],
      );
    }
    const all = JSON.parse(await hcloud("server", "list", "-l", "managed-by=test", "-o", "json"));
    assert.deepEqual(all.map((server) => server.name), ["one", "two"]);
    assert.deepEqual(all.map((server) => server.status), ["running", "running"]);
    const one = JSON.parse(await hcloud("server", "list", "-l", "managed-by=test,name notin (two)", "-o", "json"));
    assert.deepEqual(one.map((server) => server.name), ["one"]);

    await hcloud("server", "add-label", "one", "phase=ready");
    const seen = (await state()).servers[0];
    assert.deepEqual(seen.labels, { "managed-by": "test", name: "one", phase: "ready" });
    assert.equal(seen.user_data_bytes, 14);
    assert.deepEqual(seen.ssh_key_names, ["me"]);

    await assert.rejects(hcloud("firewall", "delete", "wall"), /resource_in_use/);
    for (const name of ["one", "two"]) await deleteServer(name);
    await hcloud("firewall", "delete", "wall");
    await hcloud("ssh-key", "delete", "me");
    const left = await state();
    assert.deepEqual([left.servers, left.firewalls, left.ssh_keys], [[], [], []]);
    assert.equal(left.created_ever.servers, 2);
  });

  it("turns power off and on, and makes a snapshot to start from", async () => {
    await hcloud("server", "create", "--name", "origin", "--type", "cx23", "--image", "debian-12", "--location", "nbg1");
    await hcloud("server", "poweroff", "origin");
    assert.equal((await state()).servers[0].status, "off");
    await hcloud("server", "create-image", "--type", "snapshot", "--description", "kept", "origin");
    const [image] = (await state()).images;
    assert.deepEqual([image.status, image.description], ["available", "kept"]);
    await hcloud("server", "poweron", "origin");
    await deleteServer("origin");
    await hcloud("server", "create", "--name", "copy", "--type", "cx23", "--image", String(image.id), "--location", "nbg1");
    assert.equal((await state()).servers[0].image.id, image.id);
    await deleteServer("copy");
    await hcloud("image", "delete", String(image.id));
    assert.deepEqual((await state()).images, []);
  });

  it("shows the errors of the API", async () => {
    await assert.rejects(hcloud("server", "create", "--name", "x", "--type", "cx22", "--image", "debian-13"), /deprecated/);
    await assert.rejects(
      hcloud("server", "create", "--name", "x", "--type", "cx23", "--image", "debian-13", "--location", "ash"),
      /unsupported location for server type/,
    );
  });
});
