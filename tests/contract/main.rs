//! One suite for every provider: what Mayfly promises of each, proven on each module before a scripted network. The promises
//! are in `suite`, what a vendor's API says meanwhile in the vendor's file.

#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "../support/mod.rs"]
mod support;

mod digitalocean;
mod ec2;
mod hetzner;
mod ovh;
mod scaleway;
mod suite;
mod vendor;

/// Every promise once per provider.
macro_rules! contract {
    ($($vendor:ident => $make:expr),+ ; $promises:tt) => {
        $(contract!(@one $vendor, $make, $promises);)+
    };
    (@one $vendor:ident, $make:expr, { $($promise:ident),+ $(,)? }) => {
        mod $vendor {
            $(
                #[test]
                fn $promise() {
                    crate::suite::$promise(&$make);
                }
            )+
        }
    };
}

contract!(
    on_hetzner => crate::hetzner::Hetzner,
    on_scaleway => crate::scaleway::Scaleway,
    on_digitalocean => crate::digitalocean::DigitalOcean,
    on_ovh => crate::ovh::Ovh,
    on_ec2 => crate::ec2::Ec2; {
    lists_ours_from_between_foreign_servers_of_every_page,
    a_list_that_takes_longer_than_ten_seconds_has_timed_out,
    labels_come_back_whatever_they_say,
    gets_a_server_or_knows_that_there_is_none,
    tells_refusals_apart,
    knows_a_credential_that_may_only_read,
    repeats_only_what_may_be_repeated,
    a_hang_and_a_broken_line_are_told_apart,
    no_credential_is_in_user_data,
    creates,
    creates_from_a_snapshot,
    tries_the_next_place_when_capacity_is_refused,
    takes_back_what_it_made_when_the_quota_is_used_up,
    finds_a_server_whose_answer_was_lost,
    deletes_running_stopped_and_gone_servers,
    starts_stops_and_cuts,
    changes_some_labels_and_leaves_the_others,
    snapshots_are_made_listed_and_deleted,
    leftovers_are_ours_alone,
    the_same_key_makes_no_second_vm,
    sells_every_size,
});

/// `npm run test:contract -- ec2` chooses by the path of modules: what belongs to a provider must stand below its name.
#[test]
fn every_file_is_the_suites_or_is_named_after_its_provider() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract")).expect("a folder");
    for file in files {
        let path = file.expect("a file").path();
        let name = path.file_stem().and_then(std::ffi::OsStr::to_str).expect("a name");
        let is_providers = mayfly::model::ProviderName::ALL.iter().any(|it| it.as_str() == name);
        assert!(is_providers || ["main", "suite", "vendor"].contains(&name), "{}", path.display());
    }
}
