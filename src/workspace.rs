//! The closed choices of a workspace: profiles, web UIs, images. Reading a request is `api::create`'s business, booting
//! them `cloud-init/`'s.

/// What a workspace is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the profiles")]
pub enum Profile {
    Coding,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 1] = [Self::Coding];

    /// The word in the API and in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coding => "coding",
        }
    }

    /// One line for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Coding => "Claude Code in the repository's devcontainer",
        }
    }

    /// The inverse of [`Profile::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// The web UI in front of Claude Code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the web UIs")]
pub enum WebUi {
    Cloudcli,
    Ttyd,
    CodeServer,
    Openhands,
    ClaudeCodeWeb,
    Cui,
}

impl WebUi {
    /// Every web UI, the default first.
    pub const ALL: [Self; 6] =
        [Self::Cloudcli, Self::Ttyd, Self::CodeServer, Self::Openhands, Self::ClaudeCodeWeb, Self::Cui];

    /// The word in the API and in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cloudcli => "cloudcli",
            Self::Ttyd => "ttyd",
            Self::CodeServer => "code-server",
            Self::Openhands => "openhands",
            Self::ClaudeCodeWeb => "claude-code-web",
            Self::Cui => "cui",
        }
    }

    /// One line for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cloudcli => "CloudCLI: chat, files, git and shell",
            Self::Ttyd => "Terminal only",
            Self::CodeServer => "VS Code in the browser",
            Self::Openhands => "OpenHands",
            Self::ClaudeCodeWeb => "claude-code-web: sessions in a terminal",
            Self::Cui => "CUI: chat",
        }
    }

    /// The inverse of [`WebUi::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// How a VM is rented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the markets")]
pub enum Market {
    OnDemand,
    Spot,
}

impl Market {
    /// Every market, the default first.
    pub const ALL: [Self; 2] = [Self::OnDemand, Self::Spot];

    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
        }
    }

    /// The inverse of [`Market::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// The VM's operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the images")]
pub enum Image {
    Debian13,
    Ubuntu2404,
}

impl Image {
    /// Every image, the default first.
    pub const ALL: [Self; 2] = [Self::Debian13, Self::Ubuntu2404];

    /// The word in the API; at Hetzner also the image's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debian13 => "debian-13",
            Self::Ubuntu2404 => "ubuntu-24.04",
        }
    }

    /// The inverse of [`Image::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// Checks a container image reference by the characters of the OCI grammar. Empty means the default.
pub fn check_image_reference(reference: &str) -> Result<(), &'static str> {
    let fits = reference.len() <= 255
        && !reference.starts_with(['-', '/', ':', '@', '.'])
        && reference
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-' | b'/' | b':' | b'@'));
    fits.then_some(()).ok_or("must be a container image such as mcr.microsoft.com/devcontainers/base:ubuntu")
}
