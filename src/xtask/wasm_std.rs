//! Finds a compiler that has the standard library for wasm, and gets one where there is none: rustup's target, or, on
//! Debian as root, the distribution's compiler and its standard library built once from source. It says what it installs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::{TARGET, output, run};

const ADVICE: &str = "no standard library for wasm: run `rustup target add wasm32-unknown-unknown`";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library";

/// How to call cargo for wasm.
pub(crate) enum Compiler {
    /// The toolchain in use.
    Own,
    /// Debian's, with the standard library in this system root.
    Debian(PathBuf),
}

impl Compiler {
    /// Cargo, set up for wasm.
    pub(crate) fn cargo(&self) -> Command {
        match self {
            Self::Own => Command::new(env::var_os("CARGO").unwrap_or("cargo".into())),
            Self::Debian(root) => {
                let mut cargo = debian_cargo();
                // Only for the target: build scripts and macros keep Debian's own system root.
                let flags = format!("--sysroot={}", root.display());
                cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags);
                cargo
            }
        }
    }
}

pub(crate) fn find_or_install(target_dir: &Path) -> Result<Compiler> {
    let own = || Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()));
    let root = target_dir.join("wasm-std");
    if has_std(&mut own()) {
        return Ok(Compiler::Own);
    }
    if has_std(Command::new(DEBIAN_RUSTC).arg("--sysroot").arg(&root)) {
        return Ok(Compiler::Debian(root));
    }
    if env::var("WASM_STD").as_deref() != Ok("debian") {
        eprintln!("xtask: rustup target add {TARGET}");
        if run(Command::new("rustup").args(["target", "add", TARGET])).is_ok() && has_std(&mut own()) {
            return Ok(Compiler::Own);
        }
    }
    if !Path::new("/usr/bin/apt-get").exists() || output(Command::new("id").arg("-u")).as_deref() != Some("0")
    {
        bail!(ADVICE);
    }
    install_debian(&root).context(ADVICE)?;
    Ok(Compiler::Debian(root))
}

fn has_std(rustc: &mut Command) -> bool {
    let dir = output(rustc.args(["--target", TARGET, "--print", "target-libdir"]));
    dir.and_then(|it| fs::read_dir(it).ok()).is_some_and(|files| {
        files.flatten().any(|it| it.file_name().to_string_lossy().starts_with("libstd-"))
    })
}

/// Debian's cargo and rustc, without what rustup and the running `cargo xtask` put into the environment.
fn debian_cargo() -> Command {
    let mut cargo = Command::new(DEBIAN_CARGO);
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(name);
    }
    cargo.env("RUSTC", DEBIAN_RUSTC);
    cargo
}

fn apt_install(packages: &[&str]) -> Result<()> {
    eprintln!("xtask: apt-get install {}", packages.join(" "));
    let apt = || {
        let mut it = Command::new("apt-get");
        it.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(["-o", "Dpkg::Use-Pty=0"]);
        it
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "-y", "--no-install-recommends"]).args(packages).stdout(Stdio::null()))
}

fn install_debian(root: &Path) -> Result<()> {
    if ![DEBIAN_RUSTC, DEBIAN_CARGO, DEBIAN_SOURCE].iter().all(|it| Path::new(it).exists()) {
        apt_install(&["rustc-web", "cargo-web", "rust-web-src"])?;
    }
    eprintln!("xtask: building the standard library for wasm, once");
    let host = output(Command::new(DEBIAN_RUSTC).arg("-vV"))
        .and_then(|it| it.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned)))
        .context("rustc -vV")?;
    link_lld(&root.join("lib/rustlib").join(&host).join("bin"), &host)?;

    // A crate of nothing: building it for wasm builds the standard library.
    let work = root.join("build");
    fs::create_dir_all(work.join("src"))?;
    fs::write(work.join("src/lib.rs"), "")?;
    fs::write(
        work.join("Cargo.toml"),
        "[package]\nname = \"nothing\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n",
    )?;
    let mut cargo = debian_cargo();
    cargo.current_dir(&work).env("CARGO_TARGET_DIR", work.join("target"));
    // The switch that lets a stable compiler build its own library; with the bitcode that LTO needs.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Cembed-bitcode=yes");
    run(cargo.args(["build", "--quiet", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort"]))?;

    let lib = root.join("lib/rustlib").join(TARGET).join("lib");
    let fresh = root.join("fresh");
    fs::create_dir_all(&fresh)?;
    for file in fs::read_dir(work.join("target").join(TARGET).join("release/deps"))?.flatten() {
        let path = file.path();
        let is_ours = file.file_name().to_string_lossy().starts_with("libnothing-");
        if path.extension().is_some_and(|it| it == "rlib") && !is_ours {
            fs::copy(&path, fresh.join(file.file_name()))?;
        }
    }
    // Renamed at the end, so that an interrupted build is never taken for a finished one.
    fs::create_dir_all(lib.parent().context("parent")?)?;
    fs::rename(&fresh, &lib)?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

/// The linker for wasm: rustup's if there is one, otherwise Debian's lld.
fn link_lld(bin: &Path, host: &str) -> Result<()> {
    let rustup = output(Command::new("rustc").args(["--print", "sysroot"]))
        .map(|it| Path::new(&it).join("lib/rustlib").join(host).join("bin/rust-lld"))
        .filter(|it| it.exists());
    let lld = match rustup {
        Some(it) => it,
        None if Path::new("/usr/bin/wasm-ld").exists() => "/usr/bin/wasm-ld".into(),
        None => {
            apt_install(&["lld"])?;
            "/usr/bin/wasm-ld".into()
        }
    };
    fs::create_dir_all(bin)?;
    let link = bin.join("rust-lld");
    if link.is_symlink() {
        fs::remove_file(&link)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(lld, link)?;
    #[cfg(not(unix))]
    fs::copy(lld, link)?;
    Ok(())
}
