//! Packs the static files of `cloud-init/vm/` into the archive that the user data carries. The same files give the same
//! bytes. What the files do is their own business, where they are unpacked the user data's.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

const SOURCE: &str = "cloud-init/vm";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=cloud-init/user-data.yaml");
    let mut files = Vec::new();
    collect(Path::new(SOURCE), &mut files)?;
    files.sort();
    let mut tar = tar::Builder::new(Vec::new());
    for path in files {
        let content = fs::read(&path)?;
        let name = path.strip_prefix(SOURCE)?;
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(if is_program(name) { 0o755 } else { 0o644 });
        header.set_mtime(0);
        tar.append_data(&mut header, name, content.as_slice())?;
    }
    let tar = tar.into_inner()?;
    let mut gzip = Vec::new();
    zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, tar.as_slice(), &mut gzip)?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("vm.tar.gz"), gzip)?;
    Ok(())
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
