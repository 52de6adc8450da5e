//! Packs the static files of `cloud-init/` into two archives: `vm` travels in the user data, `workspace` in the answer to
//! the boot exchange. The same files give the same bytes. What the files do is their own business.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=cloud-init");
    for name in ["vm", "workspace"] {
        let archive = gzip(&pack(&Path::new("cloud-init").join(name))?)?;
        let out = PathBuf::from(env::var("OUT_DIR")?).join(name);
        fs::write(out.with_extension("tar.gz"), &archive)?;
        fs::write(out.with_extension("base64.gz"), gzip(STANDARD.encode(archive).as_bytes())?)?;
    }
    Ok(())
}

fn pack(source: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut files = Vec::new();
    collect(source, &mut files)?;
    files.sort();
    let mut tar = tar::Builder::new(Vec::new());
    for path in files {
        let content =
            without_comments(&fs::read_to_string(&path)?, path.extension().is_some_and(|it| it == "py"));
        let name = path.strip_prefix(source)?;
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(if is_program(name) { 0o755 } else { 0o644 });
        header.set_mtime(0);
        tar.append_data(&mut header, name, content.as_bytes())?;
    }
    Ok(tar.into_inner()?)
}

/// Comments become empty lines and Python's docstrings empty texts, so that every line keeps its number; the first line may name
/// an interpreter. A fifth of the user data is won, which is what makes it fit at EC2. Texts that are values stay as they are.
fn without_comments(text: &str, is_python: bool) -> String {
    const QUOTES: &str = "\"\"\"";
    let (mut in_docstring, mut in_value) = (false, false);
    let mut lines = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let start = line.trim_start();
        let quotes = if is_python { line.matches(QUOTES).count() } else { 0 };
        let begins = !in_docstring && !in_value && quotes > 0 && start.starts_with(QUOTES);
        let is_comment = !in_value && at > 0 && start.starts_with('#');
        lines.push(match line {
            // A class may have nothing else.
            _ if begins => format!("{}\"\"", &line[..line.len() - start.len()]),
            _ if in_docstring || is_comment => String::new(),
            _ => line.to_owned(),
        });
        if quotes % 2 == 1 {
            (in_docstring, in_value) = (begins, !begins && !in_docstring && !in_value);
        }
    }
    lines.join("\n")
}

fn gzip(data: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut gzip = Vec::new();
    zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, data, &mut gzip)?;
    Ok(gzip)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Scripts have no extension, or `.sh`.
fn is_program(name: &Path) -> bool {
    name.extension().is_none_or(|it| it == "sh")
}
