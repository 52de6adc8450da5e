//! From the compiler's wasm to what wrangler uploads: JavaScript glue by wasm-bindgen, the entry module, `wasm-opt`.
//! Nothing is done when nothing changed, so that wrangler may run the build as often as it likes.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

use crate::output;

const ENTRY: &str = include_str!("../edge/worker.js");
const OUTPUTS: [&str; 3] = ["worker.js", "index.js", "index_bg.wasm"];
/// What rustc's baseline for wasm may use; `wasm-opt` refuses anything that it was not told.
const FEATURES: [&str; 6] = [
    "--enable-mutable-globals",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-reference-types",
];

/// `tool`: this program, so that another one does its work anew.
pub(crate) fn write(root: &Path, wasm: &Path, tool: &[u8]) -> Result<()> {
    let input = fs::read(wasm).with_context(|| wasm.display().to_string())?;
    let wasm_opt = find_wasm_opt(root);
    let mut hasher = DefaultHasher::new();
    (&input, tool, &wasm_opt).hash(&mut hasher);
    let stamp = format!("{:016x}\n", hasher.finish());

    let out = root.join("build");
    // `npm start`, a test and wrangler may want it at the same moment: one at a time. The lock ends with the file.
    fs::create_dir_all(&out)?;
    let lock = fs::File::create(out.join(".lock"))?;
    lock.lock()?;
    let stamp_file = out.join(".stamp");
    let is_done = fs::read_to_string(&stamp_file).is_ok_and(|it| it == stamp);
    if is_done && OUTPUTS.iter().all(|it| out.join(it).exists()) {
        return Ok(());
    }

    // Finished files replace the old ones by renaming, for whoever reads them meanwhile.
    let fresh = out.join(format!(".fresh-{}", std::process::id()));
    fs::create_dir_all(&fresh)?;
    bind(&fresh, input)?;
    let raw = fs::metadata(fresh.join("index_bg.wasm"))?.len();
    match &wasm_opt {
        Some(it) => optimize(it, &fresh.join("index_bg.wasm"))?,
        None => eprintln!("xtask: no wasm-opt (npm ci installs it): the Worker is larger, but works"),
    }
    let size = fs::metadata(fresh.join("index_bg.wasm"))?.len();
    let snippets = out.join("snippets");
    if snippets.exists() {
        fs::remove_dir_all(&snippets)?;
    }
    for file in fs::read_dir(&fresh)?.flatten() {
        fs::rename(file.path(), out.join(file.file_name()))?;
    }
    fs::remove_dir(&fresh)?;
    fs::write(stamp_file, stamp)?;
    eprintln!("xtask: build/index_bg.wasm {} KiB (before wasm-opt {} KiB)", size / 1024, raw / 1024);
    Ok(())
}

fn bind(out: &Path, wasm: Vec<u8>) -> Result<()> {
    Bindgen::new()
        .input_bytes("index", wasm)
        .module(true)? // `import source wasm from "./index_bg.wasm"`
        .reset_state_function(true)
        .remove_producers_section(true)
        .typescript(false)
        .out_name("index")
        .generate(out)
        .context("wasm-bindgen")?;
    // Wrangler gives a module for the plain import, and its bundler does not know the other one.
    let glue = out.join("index.js");
    let text = fs::read_to_string(&glue)?;
    if !text.contains("import source ") {
        bail!("wasm-bindgen's output has no source phase import any more");
    }
    fs::write(&glue, text.replace("import source ", "import "))?;
    fs::write(out.join("worker.js"), ENTRY)?;
    Ok(())
}

/// `wasm-opt` of the npm package binaryen, or on the PATH.
fn find_wasm_opt(root: &Path) -> Option<PathBuf> {
    let local = root.join("node_modules/.bin/wasm-opt");
    if local.exists() {
        return Some(local);
    }
    output(Command::new("wasm-opt").arg("--version")).map(|_| "wasm-opt".into())
}

fn optimize(wasm_opt: &Path, wasm: &Path) -> Result<()> {
    let mut command = Command::new(wasm_opt);
    command.args(["-O3", "--strip-debug", "--strip-producers"]).args(FEATURES);
    crate::run(command.arg(wasm).arg("-o").arg(wasm))
}
