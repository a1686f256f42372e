//! Configuration files and rings of a dev cluster, written anew on every run from its `Layout`.

use super::Profile;
use super::keystone::Keystone;
use super::layout::{ACCOUNT, Layout, make_dir, write_private};
use crate::Failure;

/// Writes everything the daemons read.
pub(super) fn write(layout: &Layout, keystone: Option<&Keystone>) -> Result<(), Failure> {
    let etc = layout.etc();
    write_private(&etc.join("swift.conf"), swift_conf(layout).as_bytes())?;
    write_private(&etc.join("proxy.conf"), proxy_conf(layout, keystone).as_bytes())?;
    for (number, node) in layout.nodes.iter().enumerate() {
        for device in &node.devices {
            make_dir(&layout.devices(number).join(device))?;
        }
        let name = format!("node{}.conf", number.saturating_add(1));
        write_private(&etc.join(name), node_conf(layout, number).as_bytes())?;
    }
    super::rings::write(layout)
}

/// What clients expect of any Swift: they ask `/info`, and send manifests, signed URLs and delete lists where it says so.
const PLAIN: &str = "catch_errors gatekeeper healthcheck proxy-logging listing_formats bulk tempurl tempauth staticweb copy \
     container-quotas account-quotas slo dlo versioned_writes symlink proxy-server";
/// Everything there is, in Swift's order.
const CONFORMANCE: &str = "catch_errors gatekeeper healthcheck proxy-logging cache domain_remap etag-quoter listing_formats container_sync bulk tempurl ratelimit crossdomain formpost tempauth staticweb copy \
     container-quotas account-quotas slo dlo versioned_writes symlink proxy-server";
/// The users that Swift's functional tests log in as.
const CONFORMANCE_USERS: &str = "\
reseller_prefix = AUTH, SERVICE
SERVICE_require_group = service
user_admin_admin = admin .admin .reseller_admin
user_admin_auditor = admin_ro .reseller_reader
user_test_tester = testing .admin
user_test_tester2 = testing2 .admin
user_test_tester3 = testing3
user_test2_tester2 = testing2 .admin
user_test5_tester5 = testing5 service
";

fn swift_conf(layout: &Layout) -> String {
    let policies = match layout.profile {
        Profile::Plain => "[storage-policy:0]\nname = Policy-0\ndefault = yes\n",
        Profile::Conformance | Profile::Keystone => {
            "[storage-policy:0]\nname = gold\ndefault = yes\n\n[storage-policy:1]\nname = silver\n"
        }
    };
    format!("[swift-hash]\nswift_hash_path_suffix = {}\n\n{policies}", layout.hash_suffix)
}

fn proxy_conf(layout: &Layout, keystone: Option<&Keystone>) -> String {
    let managed = "allow_account_management = true\n";
    let (pipeline, app, auth) = match (keystone, layout.profile) {
        // Accounts come with the first write to them; the suite has tests for either setting of both options.
        (Some(keystone), _) => {
            (CONFORMANCE.replace("tempauth", "authtoken keystoneauth"), String::new(), keystone_auth(keystone))
        }
        (None, Profile::Plain) => {
            let user = format!("user_{ACCOUNT}_{} = {} .admin\n", layout.user_name(), layout.key);
            (PLAIN.to_owned(), managed.to_owned(), tempauth(layout, &user))
        }
        (None, Profile::Conformance | Profile::Keystone) => {
            let app = format!("{managed}allow_open_expired = true\n");
            (CONFORMANCE.to_owned(), app, tempauth(layout, CONFORMANCE_USERS))
        }
    };
    let (pipeline, cache) = cache(&pipeline, layout);
    // Swift's suite looks at what has expired: there it stays.
    let expirer = match layout.profile {
        Profile::Plain => {
            format!("[object-expirer]\ninterval = 10\nrecon_cache_path = {}\n\n", layout.dir.join("run").display())
        }
        Profile::Conformance | Profile::Keystone => String::new(),
    };
    format!(
        "[DEFAULT]\nbind_ip = {ip}\nbind_port = {port}\nswift_dir = {etc}\ncores = {cores}\nmetrics_bind = {metrics}\n\n\
         [pipeline:main]\npipeline = {pipeline}\n\n{cache}\
         [app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n{app}\n\
         [filter:versioned_writes]\nuse = egg:swift#versioned_writes\nallow_versioned_writes = true\nallow_object_versioning = true\n\n\
         {expirer}{auth}",
        ip = layout.bind,
        port = layout.port,
        metrics = layout.metrics_address(),
        etc = layout.etc().display(),
        cores = layout.cores,
    )
}

fn tempauth(layout: &Layout, users: &str) -> String {
    format!("[filter:tempauth]\nuse = egg:swift#tempauth\ntoken_secret = {}\n{users}", layout.token_secret)
}

/// Who may what as Swift's functional tests expect it, and as a cluster with a Keystone has it. They send a user's token as that of
/// a service, which must then be a service without rights, not a refusal. A Keystone beside a dev cluster may be slow.
fn keystone_auth(keystone: &Keystone) -> String {
    format!(
        "[filter:authtoken]\npaste.filter_factory = keystonemiddleware.auth_token:filter_factory\n\
         delay_auth_decision = true\nservice_token_roles_required = false\nhttp_connect_timeout = 60\n{}\n\
         [filter:keystoneauth]\nuse = egg:swift#keystoneauth\nreseller_prefix = AUTH, SERVICE\n\
         operator_roles = admin, swiftoperator\nSERVICE_service_roles = service\n",
        keystone.options
    )
}

/// The pipeline with or without the member `cache`, and its section: memcached is used only when it was asked for.
fn cache(pipeline: &str, layout: &Layout) -> (String, String) {
    let others = pipeline.split_whitespace().filter(|name| *name != "cache");
    let Some((servers, connections)) = &layout.memcached else {
        return (others.collect::<Vec<_>>().join(" "), String::new());
    };
    let members = others.flat_map(|name| if name == "proxy-logging" { vec![name, "cache"] } else { vec![name] });
    let connections = connections.unwrap_or(2 * layout.cores);
    let section = format!(
        "[filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = {servers}\nmax_memcache_connections = {connections}\n\n"
    );
    (members.collect::<Vec<_>>().join(" "), section)
}

fn node_conf(layout: &Layout, number: usize) -> String {
    let ports = |service: usize| {
        let ports = layout.nodes.get(number).into_iter().flat_map(|node| &node.ports);
        ports.filter_map(|core| core.get(service)).map(u16::to_string).collect::<Vec<_>>().join(",")
    };
    format!(
        "[DEFAULT]\nbind_ip = 127.0.0.1\nswift_dir = {etc}\ndevices = {devices}\nmount_check = false\nupdater_interval = 5\n\
         volume_size = 33554432\nrecon_cache_path = {recon}\n{fallocate}\
         object_ports = {object}\ncontainer_ports = {container}\naccount_ports = {account}\n",
        // The suite announces uploads of 5 GiB that never come.
        fallocate = if layout.profile == Profile::Plain { "" } else { "disable_fallocate = true\n" },
        etc = layout.etc().display(),
        recon = layout.dir.join("run").display(),
        devices = layout.devices(number).display(),
        object = ports(0),
        container = ports(1),
        account = ports(2),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::Options;
    use proxy::config::{Config, Member};

    #[test]
    fn what_is_written_for_each_profile_is_what_the_proxy_reads() {
        let folder = tempfile::tempdir().unwrap();
        for profile in [Profile::Plain, Profile::Conformance, Profile::Keystone] {
            let options = Options {
                dir: folder.path().join(profile.name()),
                port: Some(0),
                bind: None,
                devices: None,
                replicas: None,
                cores: Some(1),
                nodes: None,
                profile: Some(profile),
                keystone_url: None,
                memcached: None,
                max_memcache_connections: None,
            };
            let layout = Layout::open_or_create(&options).map_err(|failure| failure.message).unwrap();
            let keystone = (profile == Profile::Keystone).then(|| Keystone {
                url: "http://127.0.0.1:5000/v3".to_owned(),
                options:
                    "auth_url = http://127.0.0.1:5000/v3\nusername = swift\npassword = x\nuser_domain_id = default\n\
                          project_id = y\n"
                        .to_owned(),
            });
            let text = proxy_conf(&layout, keystone.as_ref());
            let config = Config::parse("proxy.conf", &text, &swift_conf(&layout)).unwrap();
            assert_eq!(config.is_on(Member::Keystoneauth), profile == Profile::Keystone, "{text}");
            assert_eq!(config.is_on(Member::Tempauth), profile != Profile::Keystone, "{text}");
            assert_eq!(config.notices, Vec::<String>::new(), "{text}");
            assert_eq!(config.policies.len(), if profile == Profile::Plain { 1 } else { 2 });
        }
    }
}
