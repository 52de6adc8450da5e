//! Names of VMs: host names by RFC 1123, made from the repository or given by the user. Whether one is taken is the
//! provider's to say.

/// Longest name, characters: one label of a host name (RFC 1123 section 2.1).
pub const MAX_CHARS: usize = 63;

const PREFIX: &str = "mayfly-";
/// Letters in the suffix.
const SUFFIX_CHARS: usize = 4;

/// Checks a name that a user gave. The error is a sentence for the user.
pub fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_CHARS {
        return Err("must have 1 to 63 characters");
    }
    let fits = name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
    if !fits || name.starts_with('-') || name.ends_with('-') {
        return Err("must be a host name: small letters, digits and '-', not at either end");
    }
    Ok(())
}

/// `mayfly-<repository>-<4 letters>`, cut so that it is a host name. `seed` picks the letters.
pub fn generate(repository: &str, seed: [u8; SUFFIX_CHARS]) -> String {
    let room = MAX_CHARS - PREFIX.len() - 1 - SUFFIX_CHARS;
    let mut slug = String::new();
    for it in repository.chars() {
        let it = it.to_ascii_lowercase();
        if it.is_ascii_lowercase() || it.is_ascii_digit() {
            slug.push(it);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == room {
            break;
        }
    }
    let slug = match slug.trim_matches('-') {
        "" => "workspace",
        slug => slug,
    };
    let suffix: String = seed.iter().map(|it| char::from(b'a' + it % 26)).collect();
    format!("{PREFIX}{slug}-{suffix}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_tell_the_repository() {
        assert_eq!(generate("Hello_World.rs", [0, 1, 2, 27]), "mayfly-hello-world-rs-abcb");
        assert_eq!(generate("日本", [0; 4]), "mayfly-workspace-aaaa");
    }

    #[test]
    fn names_of_users_are_host_names() {
        for good in ["a", "my-box-1", "1a"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "My-box", "box🚀", "-a", "a-", "a_b", "a.b", "a b", &"a".repeat(70)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_repository_the_name_is_a_host_name(repository in "\\PC{0,100}", seed: [u8; 4]) {
            prop_assert_eq!(check(&generate(&repository, seed)), Ok(()));
        }
    }
}
