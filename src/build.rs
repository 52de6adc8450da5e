//! Packs the static files of `cloud-init/` into two archives: `vm` travels in the user data, `workspace` in the answer to
//! the boot exchange. The same files give the same bytes. What the files do is their own business.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=cloud-init");
    for name in ["vm", "workspace"] {
        let archive = pack(&Path::new("cloud-init").join(name))?;
        fs::write(PathBuf::from(env::var("OUT_DIR")?).join(name).with_extension("tar.gz"), archive)?;
    }
    Ok(())
}

fn pack(source: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut files = Vec::new();
    collect(source, &mut files)?;
    files.sort();
    let mut tar = tar::Builder::new(Vec::new());
    for path in files {
        let content = fs::read(&path)?;
        let name = path.strip_prefix(source)?;
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(if is_program(name) { 0o755 } else { 0o644 });
        header.set_mtime(0);
        tar.append_data(&mut header, name, content.as_slice())?;
    }
    let tar = tar.into_inner()?;
    let mut gzip = Vec::new();
    zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, tar.as_slice(), &mut gzip)?;
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
