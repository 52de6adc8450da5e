//! Values squeezed into the label alphabet, and read back: texts, boot timings, failure reasons, idle verdicts,
//! certificates. Which label holds which is the parent's business.

use std::fmt::Write as _;

use super::VALUE_MAX_CHARS;
use crate::encoding::{base32, from_base32};
use crate::model::Phase;

/// `0` on both sides keeps every piece inside the rule for first and last characters.
const FRAME: char = '0';
/// Stands in front of a text that does not begin with the usual scheme, which is left out.
const WHOLE: &str = "_h";
const USUAL: &str = "https://";

/// Packs any text into label values. Letters, digits, `.` and `-` stand for themselves.
pub fn pack_text(text: &str) -> Vec<String> {
    let mut packed = String::with_capacity(text.len() + 8);
    let rest = text.strip_prefix(USUAL).unwrap_or_else(|| {
        packed.push_str(WHOLE);
        text
    });
    for byte in rest.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' => packed.push(byte.into()),
            b'/' => packed.push_str("_s"),
            b':' => packed.push_str("_c"),
            b'@' => packed.push_str("_a"),
            b'_' => packed.push_str("_u"),
            b'~' => packed.push_str("_t"),
            _ => {
                let _ = write!(packed, "_x{byte:02x}");
            }
        }
    }
    // Only ASCII was written, so a cut between bytes is a cut between characters.
    packed
        .as_bytes()
        .chunks(VALUE_MAX_CHARS - 2)
        .map(|it| format!("{FRAME}{}{FRAME}", String::from_utf8_lossy(it)))
        .collect()
}

/// The inverse of [`pack_text`].
pub fn unpack_text(pieces: &[&str]) -> Option<String> {
    let mut packed = String::new();
    for piece in pieces {
        packed.push_str(piece.strip_prefix(FRAME)?.strip_suffix(FRAME)?);
    }
    let mut text = Vec::with_capacity(packed.len() + USUAL.len());
    let rest = packed.strip_prefix(WHOLE).unwrap_or_else(|| {
        text.extend_from_slice(USUAL.as_bytes());
        &packed
    });
    let mut bytes = rest.bytes();
    while let Some(byte) = bytes.next() {
        text.push(if byte == b'_' { unescape(&mut bytes)? } else { byte });
    }
    String::from_utf8(text).ok()
}

fn unescape(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match bytes.next()? {
        b's' => b'/',
        b'c' => b':',
        b'a' => b'@',
        b'u' => b'_',
        b't' => b'~',
        b'x' => {
            let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
            digit(bytes.next()?)? * 16 + digit(bytes.next()?)?
        }
        _ => return None,
    })
}

/// Seconds that each phase of the boot took, where it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing([Option<u32>; 4]);

impl Timing {
    /// The timed phases with their letters in the label.
    const PHASES: [(Phase, char); 4] =
        [(Phase::Docker, 'd'), (Phase::Clone, 'c'), (Phase::Devcontainer, 'v'), (Phase::Ui, 'u')];
    /// A day; longer is shown as this.
    const MAX_SECS: u32 = 86_400;

    /// Notes a phase's duration; phases that are not timed are passed over.
    pub fn set(&mut self, phase: Phase, secs: u32) {
        if let Some(at) = Self::PHASES.iter().position(|(it, _)| *it == phase) {
            self.0[at] = Some(secs.min(Self::MAX_SECS));
        }
    }

    /// Known durations, in the order of the boot.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, u32)> {
        Self::PHASES.into_iter().zip(self.0).filter_map(|((phase, _), secs)| Some((phase, secs?)))
    }

    /// `d12.c3.v40.u8`.
    pub fn pack(&self) -> String {
        let part = |((_, letter), secs): ((Phase, char), Option<u32>)| Some(format!("{letter}{}", secs?));
        Self::PHASES.into_iter().zip(self.0).filter_map(part).collect::<Vec<_>>().join(".")
    }

    /// Reads a label; what it does not know it leaves out.
    pub fn unpack(value: &str) -> Self {
        let mut timing = Self::default();
        for part in value.split('.') {
            let mut chars = part.chars();
            let letter = chars.next();
            let phase = Self::PHASES.iter().find(|(_, it)| Some(*it) == letter);
            if let (Some((phase, _)), Ok(secs)) = (phase, chars.as_str().parse()) {
                timing.set(*phase, secs);
            }
        }
        timing
    }
}

/// A signal of activity that the VM measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the signals")]
pub enum Signal {
    Agent,
    Transcript,
    Files,
    Connection,
    Ssh,
    Build,
    Keep,
}

impl Signal {
    /// Every signal, in the order of the label.
    pub const ALL: [Self; 7] =
        [Self::Agent, Self::Transcript, Self::Files, Self::Connection, Self::Ssh, Self::Build, Self::Keep];

    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Transcript => "transcript",
            Self::Files => "files",
            Self::Connection => "connection",
            Self::Ssh => "ssh",
            Self::Build => "build",
            Self::Keep => "keep",
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Agent => 'a',
            Self::Transcript => 't',
            Self::Files => 'f',
            Self::Connection => 'c',
            Self::Ssh => 's',
            Self::Build => 'b',
            Self::Keep => 'k',
        }
    }
}

/// How long ago each signal was last active, minutes; `None` for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict([Option<u16>; 7]);

impl Verdict {
    /// A week; older is shown as this.
    const MAX_MINUTES: u16 = 10_080;

    /// Notes one signal's age.
    pub fn set(&mut self, signal: Signal, minutes: u64) {
        let minutes = u16::try_from(minutes).unwrap_or(u16::MAX).min(Self::MAX_MINUTES);
        self.0[signal as usize] = Some(minutes);
    }

    /// Signal and age, for those that were ever active.
    pub fn iter(&self) -> impl Iterator<Item = (Signal, u16)> {
        Signal::ALL.into_iter().zip(self.0).filter_map(|(signal, minutes)| Some((signal, minutes?)))
    }

    /// `a0.t1.f12`: only signals that were ever active.
    pub fn pack(&self) -> String {
        self.iter()
            .map(|(signal, minutes)| format!("{}{minutes}", signal.letter()))
            .collect::<Vec<_>>()
            .join(".")
    }

    /// Reads a label; what it does not know it leaves out.
    pub fn unpack(value: &str) -> Self {
        let mut verdict = Self::default();
        for part in value.split('.') {
            let mut chars = part.chars();
            let letter = chars.next();
            let signal = Signal::ALL.into_iter().find(|it| Some(it.letter()) == letter);
            if let (Some(signal), Ok(minutes)) = (signal, chars.as_str().parse()) {
                verdict.set(signal, minutes);
            }
        }
        verdict
    }
}

/// Why a boot failed, or what is wrong with a workspace that came up all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The phase in which it happened.
    pub phase: Phase,
    /// One of [`Reason::CODES`].
    pub code: &'static str,
}

impl Reason {
    /// Every code with what it means to the user.
    pub const CODES: [(&'static str, &'static str); 19] = [
        ("apt_failed", "packages could not be installed"),
        ("download_failed", "a program could not be downloaded"),
        ("docker_failed", "Docker did not start"),
        ("not_found", "the repository or branch does not exist, or the credential may not see it"),
        ("auth_failed", "the repository asks for a credential: give a git_token that may read it"),
        ("unreachable", "the repository's host could not be reached"),
        ("forbidden_address", "the repository's host has a private or link-local address"),
        ("clone_failed", "git could not clone the repository"),
        (
            "not_restored",
            "the earlier work could not be put back; its backups are still there: start with restore and an id",
        ),
        (
            "other_branch",
            "the earlier work was put back as it was, on another branch than the one that was asked for; start with \
             restore none for that",
        ),
        (
            Self::NOT_SAVED,
            "the last backup or push failed: what was done since the one before it is on this VM alone",
        ),
        ("build_failed", "the devcontainer could not be built, and neither could the default one"),
        ("fallback", "the repository's devcontainer could not be built; this is the default one"),
        ("ui_failed", "the web UI could not be installed; the terminal works"),
        ("ui_down", "the web UI did not come up; the terminal did"),
        ("open_registration", "the web UI let a stranger register, so it was not opened"),
        ("no_space", "the disk is full"),
        ("timeout", "it took longer than its limit"),
        ("internal", "a script of Mayfly failed"),
    ];

    /// That work is saved nowhere.
    pub const NOT_SAVED: &'static str = "not_saved";

    /// Checks a code that a VM reported.
    pub fn new(phase: Phase, code: &str) -> Option<Self> {
        let (code, _) = Self::CODES.iter().find(|(it, _)| *it == code)?;
        Some(Self { phase, code })
    }

    /// What the code means to the user.
    pub fn detail(&self) -> &'static str {
        Self::CODES.iter().find(|(it, _)| *it == self.code).map_or("", |(_, detail)| detail)
    }

    /// `clone.auth_failed`.
    pub fn pack(&self) -> String {
        format!("{}.{}", self.phase.as_str(), self.code)
    }

    /// Reads a label.
    pub fn unpack(value: &str) -> Option<Self> {
        let (phase, code) = value.split_once('.')?;
        Self::new(Phase::parse(phase)?, code)
    }
}

/// The certificate that a VM's door shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whether it is from an authority that browsers trust; otherwise the VM has made it itself.
    pub is_trusted: bool,
    /// SHA-256 of the certificate (DER).
    pub sha256: [u8; 32],
}

impl Certificate {
    /// A report: `trusted` or `self_signed`, and 64 hexadecimal digits.
    pub fn parse(state: &str, sha256: &str) -> Option<Self> {
        let is_trusted = match state {
            "trusted" => true,
            "self_signed" => false,
            _ => return None,
        };
        let mut bytes = [0; 32];
        if sha256.len() != 64 || !sha256.bytes().all(|it| it.is_ascii_hexdigit()) {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(sha256.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self { is_trusted, sha256: bytes })
    }

    /// `trusted` or `self_signed`, as the API says it.
    pub fn state(&self) -> &'static str {
        if self.is_trusted { "trusted" } else { "self_signed" }
    }

    /// The SHA-256 as browsers and `openssl` compare it: hexadecimal, lower case.
    pub fn sha256_hex(&self) -> String {
        self.sha256.iter().fold(String::with_capacity(64), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }

    /// For a label: 54 characters.
    pub fn pack(&self) -> String {
        format!("{}.{}", if self.is_trusted { 't' } else { 's' }, base32(&self.sha256))
    }

    /// Reads a label.
    pub fn unpack(value: &str) -> Option<Self> {
        let (whose, digest) = value.split_once('.')?;
        let is_trusted = match whose {
            "t" => true,
            "s" => false,
            _ => return None,
        };
        Some(Self { is_trusted, sha256: from_base32(digest)?.try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::labels::is_value;

    #[test]
    fn the_usual_repository_stays_readable_in_the_providers_console() {
        assert_eq!(pack_text("https://github.com/rust-lang/rust.git"), ["0github.com_srust-lang_srust.git0"]);
        assert_eq!(pack_text("git@host:o/r_1"), ["0_hgit_ahost_co_sr_u10"]);
    }

    #[test]
    fn every_reason_code_fits() {
        for (code, _) in Reason::CODES {
            let reason = Reason::new(Phase::Devcontainer, code).expect("a code of the table");
            assert!(is_value(&reason.pack()), "{code}");
            assert_eq!(Reason::unpack(&reason.pack()), Some(reason));
        }
        assert_eq!(Reason::new(Phase::Clone, "made_up"), None);
    }

    proptest! {
        #[test]
        fn any_text_survives_and_fits_the_alphabet(text in ".{0,300}") {
            let packed = pack_text(&text);
            prop_assert!(packed.iter().all(|it| is_value(it) && !it.is_empty()));
            let pieces: Vec<&str> = packed.iter().map(String::as_str).collect();
            let back = if pieces.is_empty() { Some(String::from("https://")) } else { unpack_text(&pieces) };
            prop_assert_eq!(back, Some(text));
        }

        #[test]
        fn unpacking_garbage_never_panics(pieces in prop::collection::vec(".{0,80}", 0..4)) {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let _ = unpack_text(&pieces);
            let _ = (Timing::unpack(&pieces.concat()), Verdict::unpack(&pieces.concat()), Reason::unpack(&pieces.concat()));
        }

        #[test]
        fn timings_survive(secs in prop::array::uniform4(prop::option::of(0_u32..=86_400))) {
            let timing = Timing(secs);
            prop_assert!(is_value(&timing.pack()));
            prop_assert_eq!(Timing::unpack(&timing.pack()), timing);
        }

        #[test]
        fn verdicts_survive(minutes in prop::array::uniform7(prop::option::of(0_u16..=10_080))) {
            let verdict = Verdict(minutes);
            prop_assert!(is_value(&verdict.pack()));
            prop_assert_eq!(Verdict::unpack(&verdict.pack()), verdict);
        }
    }
}
