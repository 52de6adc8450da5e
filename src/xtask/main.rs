//! The build tool: `cargo xtask build` makes `build/worker.js` out of the edge, as `wrangler.toml` asks it to.
//! Here: the command line and the compiler's run. `wasm_std` finds a compiler that can make wasm, `bundle` does what
//! comes after it. Deploying and testing are npm's scripts (`tests/run/`).

mod bundle;
mod wasm_std;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

const EDGE: &str = "mayfly-edge";
const TARGET: &str = "wasm32-unknown-unknown";

fn main() -> Result<()> {
    match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [it] if it == "build" => build(),
        _ => bail!("usage: cargo xtask build"),
    }
}

fn build() -> Result<()> {
    let package = env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask build`")?;
    let root = fs::canonicalize(Path::new(&package).join("../.."))?;
    // Now: another cargo may put a new one in its place while the Worker is compiled.
    let tool = env::current_exe().and_then(fs::read)?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let compiler = wasm_std::find_or_install(&target)?;
    let mut cargo = compiler.cargo();
    cargo.current_dir(&root).env("CARGO_TARGET_DIR", &target);
    run(cargo.args(["build", "--release", "--lib", "--locked", "--package", EDGE, "--target", TARGET]))?;
    let wasm = target.join(TARGET).join("release").join(EDGE.replace('-', "_") + ".wasm");
    bundle::write(&root, &wasm, &tool)
}

/// Runs a command with its output shown; fails if it does.
fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("cannot start {name}"))?;
    ensure!(status.success(), "{name} failed: {status}");
    Ok(())
}

/// What a command prints, if it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|it| it.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
