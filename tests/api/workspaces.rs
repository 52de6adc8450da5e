//! The list of what is kept, and forgetting it: each owner's own, and all of it.

use serde_json::json;

use super::support::call::Call;
use super::support::host::TestHost;
use super::support::store::Store;
use super::support::world::{NOW_SECS, ROOTS_TOKEN, Settings, app, sha256_hex};

fn fill(store: &Store, workspace: &str, objects: usize) {
    store.at(NOW_SECS - 60);
    store.put(&format!("mayfly/{workspace}/snapshots/{}", sha256_hex("newer")), vec![0; 5]);
    store.at(NOW_SECS - 3600);
    store.put(&format!("mayfly/{workspace}/snapshots/{}", sha256_hex("older")), vec![0; 5]);
    for nth in 0..objects {
        store.put(&format!("mayfly/{workspace}/data/{}", sha256_hex(&nth.to_string())), vec![0; 10]);
    }
    store.put(&format!("mayfly/{workspace}/pruned"), Vec::new());
}

#[test]
fn the_list_is_of_the_callers_own_with_sizes_and_times() {
    let store = Store::new();
    fill(&store, "default/github.com~octo~Hello-World", 2500);
    fill(&store, "default/git.sr.ht~=7eann~x", 0);
    fill(&store, "ann/github.com~octo~Hello-World", 1);
    let list = Call::get("/workspaces").token().store(&store).send(&app(), &TestHost::silent()).ok(200);
    let snapshots = json!([
        { "id": sha256_hex("older"), "saved_at": "2026-11-20T09:00:00Z" },
        { "id": sha256_hex("newer"), "saved_at": "2026-11-20T09:59:00Z" },
    ]);
    assert_eq!(
        list,
        json!({
            "workspaces": [
                { "name": "git.sr.ht~=7eann~x", "owner": "default", "repository": "git.sr.ht/~ann/x", "size_bytes": 10, "snapshots": snapshots },
                { "name": "github.com~octo~Hello-World", "owner": "default", "repository": "github.com/octo/Hello-World",
                  "size_bytes": 25_010, "snapshots": snapshots },
            ],
            "size_bytes": 25_020,
        })
    );
    let anns = Call::get("/workspaces").anns().store(&store).send(&app(), &TestHost::silent()).ok(200);
    assert_eq!(anns["size_bytes"], 20);
}

#[test]
fn forgetting_takes_all_of_one_workspace_of_ones_own() {
    let store = Store::new();
    let (ours, like_it, anns) =
        ("default/git.sr.ht~=7eann~x", "default/git.sr.ht~=7eann~x2", "ann/git.sr.ht~=7eann~x");
    fill(&store, ours, 2500);
    fill(&store, like_it, 1);
    fill(&store, anns, 1);
    let forget = |name: &str| {
        Call::delete(&format!("/workspaces/{name}"))
            .token()
            .store(&store)
            .send(&app(), &TestHost::silent())
            .ok(200)
    };
    let name = "git.sr.ht~=7eann~x";
    assert_eq!(
        forget("git.sr.ht%7E%3D7eann~x"),
        json!({ "deleted": true, "already_gone": false, "name": name })
    );
    assert_eq!(store.keys().len(), 8, "{:?}", store.keys());
    assert_eq!(forget(name), json!({ "deleted": true, "already_gone": true, "name": name }));
    for odd in ["..", "%2e%2e", "ann", "*"] {
        assert_eq!(forget(odd)["already_gone"], true, "{odd}");
    }
    assert_eq!(store.keys().len(), 8);
}

#[test]
fn an_admin_lists_everybodys_and_forgets_them_by_owner() {
    let store = Store::new();
    let name = "github.com~octo~Hello-World";
    fill(&store, &format!("default/{name}"), 1);
    fill(&store, &format!("ann/{name}"), 2);
    fill(&store, &format!("root/{name}"), 0);
    let app = Settings::usual().with_admin("").app();
    let call = |call: Call| call.store(&store).send(&app, &TestHost::silent());
    let owners = || {
        let list = call(Call::get("/workspaces").bearer(ROOTS_TOKEN)).ok(200);
        let of = |it: &serde_json::Value| (it["owner"].clone(), it["size_bytes"].clone());
        list["workspaces"].as_array().expect("a list").iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(
        owners(),
        [(json!("ann"), json!(30)), (json!("default"), json!(20)), (json!("root"), json!(10))]
    );
    let forget = |query: &str| Call::delete(&format!("/workspaces/{name}{query}"));
    // Nobody else may name another, and an admin's own is what is meant where nobody is named.
    for query in ["?owner=default", "?owner=root", "?owner=", "?owner=..", "?owner=ann/x", "?owner=a%2Fb"] {
        let refused = call(forget(query).anns());
        assert_eq!(refused.json()["errors"][0]["field"], "owner", "{query}");
    }
    for query in ["?owner=", "?owner=..", "?owner=ann/x", "?owner=ann%2Fx"] {
        assert_eq!(
            call(forget(query).bearer(ROOTS_TOKEN)).kind(),
            (400, "invalid_request".into()),
            "{query}"
        );
    }
    assert_eq!(owners().len(), 3);
    assert_eq!(call(forget("").bearer(ROOTS_TOKEN)).ok(200)["already_gone"], false);
    assert_eq!(owners().len(), 2);
    assert_eq!(call(forget("?owner=ann").bearer(ROOTS_TOKEN)).ok(200)["already_gone"], false);
    assert_eq!(owners(), [(json!("default"), json!(20))]);
    assert_eq!(call(forget("?owner=ann").anns()).ok(200)["already_gone"], true);
}

#[test]
fn without_a_bucket_and_with_one_that_fails_it_says_so() {
    let store = Store::new();
    fill(&store, "default/github.com~octo~Hello-World", 1);
    store.fail();
    for call in [|| Call::get("/workspaces"), || Call::delete("/workspaces/github.com~octo~Hello-World")] {
        let none = call().token().send(&app(), &TestHost::silent());
        assert_eq!(none.kind(), (404, "backups_not_configured".to_owned()));
        let broken = call().token().store(&store).send(&app(), &TestHost::silent());
        assert_eq!(broken.kind(), (502, "bucket_failed".to_owned()));
    }
}
