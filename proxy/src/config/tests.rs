//! What the configuration accepts and what it refuses.

use super::*;
use crate::backend::hedge::Hedging;

const SWIFT: &str = "[swift-hash]\nswift_hash_path_suffix = something\n";

/// A configuration for tests of the middleware.
pub(crate) fn sample() -> Config {
    parse(
        "[pipeline:main]\npipeline = healthcheck proxy-logging tempauth proxy-server\n[filter:tempauth]\n\
         user_test_tester = testing .admin\nuser_test_other = other\nuser_test2_tester2 = testing2 .admin\n\
         user_admin_admin = admin .admin .reseller_admin\ntoken_secret = 000102030405060708090a0b0c0d0e0f\n\
         [app:proxy-server]\naccount_autocreate = yes\n",
    )
    .unwrap()
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse("proxy-server.conf", text, SWIFT)
}

fn pipeline(line: &str) -> Result<Vec<Member>, String> {
    parse(&format!("[pipeline:main]\npipeline = {line}\n")).map(|c| c.pipeline).map_err(|e| e.message)
}

#[test]
fn the_usual_pipeline_is_accepted_and_completed() {
    let all = "catch_errors gatekeeper healthcheck proxy-logging cache listing_formats tempauth copy dlo proxy-logging proxy-server";
    assert_eq!(pipeline(all).unwrap().len(), 11);
    assert!(pipeline(all).unwrap().contains(&Member::SubrequestLogging));
    let completed = pipeline("tempauth proxy-server").unwrap();
    assert_eq!(completed.first(), Some(&Member::CatchErrors));
    assert!(completed.contains(&Member::Dlo));
    assert!(!completed.contains(&Member::ProxyLogging));
}

#[test]
fn a_pipeline_that_cannot_be_meant_is_refused_in_one_sentence() {
    let check = |line: &str, part: &str| {
        let message = pipeline(line).unwrap_err();
        assert!(message.contains(part), "{message}");
    };
    check("dlo copy proxy-server", "`copy` must stand before `dlo`");
    check("s3api proxy-server", "`s3api` is not offered here");
    check("copy copy proxy-server", "twice");
    check("proxy-logging proxy-logging proxy-logging proxy-server", "twice");
    check("copy", "the last member must be `proxy-server`");
    assert!(parse("[DEFAULT]\n").unwrap_err().message.contains("pipeline"));
}

/// A pipeline with these members between, and what authtoken needs.
fn with_keystone(members: &str, section: &str) -> Result<Config, ConfigError> {
    parse(&format!(
        "[pipeline:main]\npipeline = {members} proxy-server\n{section}\nauth_url = http://127.0.0.1:5000\nusername = swift\n\
         password = p455word\nproject_name = service\ndefault_domain_id = default\ncache = swift.cache\n\
         [filter:keystoneauth]\nuse = egg:swift#keystoneauth\noperator_roles = boss\n"
    ))
}

#[test]
fn keystone_comes_in_two_halves_and_decides_alone() {
    let usual = "[filter:authtoken]\npaste.filter_factory = keystonemiddleware.auth_token:filter_factory";
    let config = with_keystone("authtoken keystoneauth", usual).unwrap();
    assert_eq!(config.keystoneauth.as_ref().unwrap().resellers[0].operator_roles, ["boss"]);
    assert_eq!(config.authtoken.as_ref().unwrap().keystone.port, 5000);
    assert_eq!(config.notices.iter().filter(|notice| notice.contains("each core keeps its own tokens")).count(), 1);
    assert!(config.notices.iter().all(|notice| !notice.contains("factory")), "{:?}", config.notices);
    assert!(config.authtoken.as_ref().unwrap().shares_tokens);
    let shared = with_keystone("cache authtoken keystoneauth", usual).unwrap();
    assert!(shared.notices.iter().all(|notice| !notice.contains("each core keeps")), "{:?}", shared.notices);
    let encrypted = format!("{usual}\nmemcache_security_strategy = ENCRYPT");
    let alone = with_keystone("cache authtoken keystoneauth", &encrypted).unwrap();
    assert!(!alone.authtoken.unwrap().shares_tokens);
    assert!(!format!("{config:?}").contains("p455word"));
    // Under another name, by its factory.
    let renamed = usual.replace(":authtoken", ":tokens");
    assert!(with_keystone("tokens keystoneauth", &renamed).unwrap().is_on(Member::Authtoken));
    let refused = |members: &str, part: &str| {
        let message = with_keystone(members, usual).unwrap_err().message;
        assert!(message.contains(part), "{message}");
    };
    refused("authtoken", "`authtoken` needs `keystoneauth`");
    refused("keystoneauth", "`keystoneauth` needs `authtoken`");
    refused("keystoneauth authtoken", "`authtoken` must stand before `keystoneauth`");
    refused("tempauth authtoken keystoneauth", "both decide");
    // Off, nothing of it is looked at.
    assert!(parse("[pipeline:main]\npipeline = proxy-server\n[filter:authtoken]\nauth_url = https://x\n").is_ok());
}

#[test]
fn members_that_depend_on_nobody_stand_anywhere() {
    // As the documentation of Swift has them, and in every other place.
    for line in [
        "catch_errors healthcheck proxy-logging name_check cache tempauth read_only proxy-logging proxy-server",
        "catch_errors healthcheck proxy-logging cache read_only domain_remap tempauth name_check proxy-server",
        "list-endpoints catch_errors healthcheck proxy-logging cache tempauth proxy-server",
        "catch_errors healthcheck proxy-logging cache tempauth list-endpoints proxy-server",
    ] {
        pipeline(line).unwrap();
    }
    assert!(pipeline("name_check tempauth healthcheck proxy-server").unwrap_err().contains("must stand before"));
}

#[test]
fn small_members_have_swifts_options_and_defaults() {
    let config = parse("[pipeline:main]\npipeline = proxy-server\n").unwrap();
    assert_eq!(config.name_check.forbidden_chars, "'\"`<>");
    assert_eq!(config.name_check.maximum_length, 255);
    assert_eq!(config.list_endpoints_path, "/endpoints/");
    assert_eq!(config.disallowed_sections, ["swift.auto_create_account_prefix", "swift.valid_api_versions"]);
    assert_eq!((config.cname_lookup.lookup_depth, config.cname_lookup.nameservers.len()), (1, 0));
    assert_eq!(config.cname_lookup.storage_domains, [".example.com"]);
    assert!(config.gatekeeper.shunt_inbound_x_timestamp && !config.gatekeeper.allow_reserved_names_header);
    assert!(config.admin_key.is_none() && config.expose_info && !config.read_only.read_only);
    assert_eq!(config.proxy_logging.reveal_sensitive_prefix, 16);
    assert_eq!(config.proxy_logging, config.subrequest_logging);
    let text = "[DEFAULT]\nadmin_key = secret\nexpose_info = no\ndisallowed_sections = a, b.c\ntrans_id_suffix = -x\n\
        log_headers = yes\n[pipeline:main]\npipeline = name_check read_only list-endpoints first other proxy-server\n\
        [filter:name_check]\nforbidden_chars = !\nmaximum_length = 9\nforbidden_regexp =\n[filter:read_only]\nread_only = on\n\
        allow_deletes = on\n[filter:list-endpoints]\nlist_endpoints_path = /where\n[filter:first]\nuse = egg:swift#proxy_logging\n\
        [filter:other]\nuse = egg:swift#proxy_logging\nlog_msg_template = {path}\nreveal_sensitive_prefix = 0\n\
        access_log_headers = no\nlog_anonymization_method = SHA256\n[filter:gatekeeper]\nshunt_inbound_x_timestamp = no\n";
    let config = parse(text).unwrap();
    assert_eq!(
        config.notices.iter().filter(|notice| notice.contains("is not known")).count(),
        0,
        "{:?}",
        config.notices
    );
    assert_eq!((config.name_check.forbidden_chars.as_str(), config.name_check.maximum_length), ("!", 9));
    assert!(
        config.name_check.forbidden_regexp.is_none() && config.read_only.read_only && config.read_only.allow_deletes
    );
    assert_eq!(config.list_endpoints_path, "/where/");
    assert_eq!(config.disallowed_sections, ["a", "b.c"]);
    assert_eq!((config.trans_id_suffix.as_str(), config.expose_info), ("-x", false));
    assert!(!config.gatekeeper.shunt_inbound_x_timestamp && config.admin_key.is_some());
    let (first, second) = (config.proxy_logging, config.subrequest_logging);
    assert!(first.headers && !second.headers);
    assert_eq!((first.reveal_sensitive_prefix, second.reveal_sensitive_prefix), (16, 0));
    assert_eq!(second.template, crate::middleware::proxy_logging::Template::parse("{path}").unwrap());
}

#[test]
fn a_pattern_or_template_that_cannot_be_read_is_refused_with_its_line() {
    for (section, line) in [
        ("name_check", "forbidden_regexp = (?=x)"),
        ("name_check", "maximum_length = short"),
        ("cname_lookup", "nameservers = 127.0.0.1, dns.example"),
        ("cname_lookup", "lookup_depth = 0"),
        ("proxy-logging", "log_msg_template = {nothing}"),
        ("proxy-logging", "log_anonymization_method = rot13"),
        ("proxy-logging", "reveal_sensitive_prefix = some"),
    ] {
        let text = format!("[pipeline:main]\npipeline = {section} proxy-server\n[filter:{section}]\n{line}\n");
        let message = parse(&text).unwrap_err().message;
        assert!(message.starts_with("proxy-server.conf:4: "), "{message}");
    }
}

#[test]
fn members_in_front_of_the_tokens_stand_where_swifts_samples_have_them() {
    for line in [
        "cache container_sync bulk tempurl ratelimit tempauth proxy-server",
        "cache bulk tempurl ratelimit crossdomain container_sync tempauth proxy-server",
        "cache formpost bulk container_sync tempurl ratelimit tempauth proxy-server",
    ] {
        let members = pipeline(line).unwrap();
        assert!(members.contains(&Member::Ratelimit) && members.is_sorted(), "{line}");
    }
    for line in ["tempauth ratelimit proxy-server", "formpost gatekeeper proxy-server", "tempurl bulk proxy-server"] {
        assert!(pipeline(line).unwrap_err().contains("must stand before"), "{line}");
    }
}

#[test]
fn a_member_is_found_through_its_egg() {
    let text = "[pipeline:main]\npipeline = auth front\n[filter:auth]\nuse = egg:swift#tempauth\nuser_a_b = c\n\
                [app:front]\nuse = egg:swift#proxy\n";
    let config = parse(text).unwrap();
    assert!(config.is_on(Member::Tempauth));
    assert_eq!(config.users.len(), 1);
}

#[test]
fn users_have_names_keys_groups_and_urls() {
    let text = "[pipeline:main]\npipeline = tempauth proxy-server\n[filter:tempauth]\nuser_acc_us_er = k .admin http://h/v1/x\n\
                user64_dW5kZXJfc2NvcmU_YV9i = pass\n";
    let config = parse(text).unwrap();
    let [encoded, plain] = config.users.as_slice() else { panic!("two users, got {:?}", config.users) };
    assert_eq!((encoded.account.as_str(), encoded.user.as_str()), ("under_score", "a_b"));
    assert_eq!((plain.account.as_str(), plain.user.as_str()), ("acc", "us_er"));
    assert_eq!(plain.groups, [".admin"]);
    assert_eq!(plain.url.as_deref(), Some("http://h/v1/x"));
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let config = sample();
    let shown = format!("{config:?}");
    assert!(!shown.contains("testing"), "{shown}");
    assert!(!shown.contains("1, 2, 3"), "{shown}");
}

#[test]
fn the_token_secret_follows_from_salt_and_users() {
    let text = "[pipeline:main]\npipeline = tempauth proxy-server\n[filter:tempauth]\nuser_a_b = c\n";
    let other = text.replace("= c", "= d");
    assert_eq!(parse(text).unwrap().token_secret, parse(text).unwrap().token_secret);
    assert_ne!(parse(text).unwrap().token_secret, parse(&other).unwrap().token_secret);
    let swift = SWIFT.replace("something", "else");
    assert_ne!(parse(text).unwrap().token_secret, Config::parse("p", text, &swift).unwrap().token_secret);
    let short = format!("{text}token_secret = 00\n");
    assert!(parse(&short).unwrap_err().message.contains("token_secret"));
}

#[test]
fn unknown_and_unused_options_are_named() {
    let text =
        "[DEFAULT]\nlog_level = INFO\n[pipeline:main]\npipeline = proxy-server\n[app:proxy-server]\nnode_timeuot = 3\n";
    let notices = parse(text).unwrap().notices.join("\n");
    assert!(notices.contains("node_timeuot is not known"), "{notices}");
    assert!(notices.contains("log_level is not used"), "{notices}");
    let text = "[DEFAULT]\nstatsd_label_mode = disabled\nlog_udp_port = 1\n[pipeline:main]\npipeline = proxy-server\n";
    let notices = parse(text).unwrap().notices.join("\n");
    assert!(notices.contains("statsd_label_mode is not used: the access log tells StatsD"), "{notices}");
    assert!(notices.contains("log_udp_port is not used: logs go to standard error"), "{notices}");
}

#[test]
fn values_out_of_bounds_are_refused() {
    for line in ["node_timeout = soon", "request_node_count = 3 * replicas", "error_suppression_limit = 0"] {
        let text = format!("[pipeline:main]\npipeline = proxy-server\n[app:proxy-server]\n{line}\n");
        assert!(parse(&text).is_err(), "{line}");
    }
}

#[test]
fn segments_are_limited_as_in_swift_unless_told_otherwise() {
    let limits = |after, per_second, under| Limits {
        after,
        per_second,
        under,
        max_get_time: std::time::Duration::from_secs(86_400),
    };
    let plain = parse("[pipeline:main]\npipeline = slo dlo proxy-server\n").unwrap();
    assert_eq!((plain.slo.limits, plain.dlo_limits), (limits(10, 1, Some(1_048_576)), limits(10, 1, None)));
    assert!(plain.slo.allow_async_delete);
    let set = parse(
        "[pipeline:main]\npipeline = slo dlo proxy-server\n[filter:slo]\nrate_limit_after_segment = 1\n\
         rate_limit_segments_per_sec = 2\nrate_limit_under_size = 3\nallow_async_delete = no\n\
         [app:proxy-server]\nrate_limit_segments_per_sec = 5\n[filter:bulk]\ndelete_container_retry_count = 4\n",
    )
    .unwrap();
    assert_eq!((set.slo.limits, set.slo.allow_async_delete), (limits(1, 2, Some(3)), false));
    // Once these were the application's own options.
    assert_eq!(set.dlo_limits, limits(10, 5, None));
    assert_eq!(set.bulk.delete_container_retry_count, 4);
    assert!(set.notices.iter().all(|notice| !notice.contains("rate_limit")), "{:?}", set.notices);
}

#[test]
fn max_get_time_is_read_where_each_kind_of_large_object_has_its_options() {
    let text = "[pipeline:main]\npipeline = slo dlo proxy-server\n[filter:slo]\nmax_get_time = 7\n\
        [app:proxy-server]\nmax_get_time = 9\n";
    let set = parse(text).unwrap();
    let seconds = |limits: Limits| limits.max_get_time.as_secs();
    assert_eq!((seconds(set.slo.limits), seconds(set.dlo_limits)), (7, 9));
    let of_dlo = parse(&format!("{text}[filter:dlo]\nmax_get_time = 3\n")).unwrap();
    assert_eq!(seconds(of_dlo.dlo_limits), 3);
}

#[test]
fn owner_headers_are_those_of_the_option_or_swifts() {
    let plain = parse("[pipeline:main]\npipeline = proxy-server\n").unwrap();
    assert_eq!(plain.swift_owner_headers.len(), 9);
    assert!(plain.swift_owner_headers.iter().any(|name| name == "x-container-meta-temp-url-key-2"));
    let set = parse("[pipeline:main]\npipeline = proxy-server\n[app:proxy-server]\nswift_owner_headers = X-Own, x-b\n");
    assert_eq!(set.unwrap().swift_owner_headers, ["x-own", "x-b"]);
}

#[test]
fn a_policy_prefers_nodes_of_its_own() {
    let text = "[pipeline:main]\npipeline = proxy-server\n[app:proxy-server]\nsorting_method = affinity\n\
        read_affinity = r1=1\nwrite_affinity = r1\nwrite_affinity_node_count = 3\n\
        [proxy-server:policy:1]\nsorting_method = timing\nwrite_affinity = r2z1, r2z2\n\
        write_affinity_handoff_delete_count = 4\nrebalance_missing_suppression_count = 2\n";
    let set = parse(text).unwrap();
    assert_eq!((set.post_quorum_timeout.as_millis(), set.timing_expiry.as_secs()), (500, 300));
    let (all, own) = (set.preference(None), set.preference(Some(1)));
    assert_eq!((all.sorting, all.read.len(), all.write.len()), (Sorting::Affinity, 1, 1));
    assert_eq!((own.sorting, own.read.len(), own.write.len()), (Sorting::Timing, 1, 2));
    assert_eq!((all.handoff_delete_count, own.handoff_delete_count), (None, Some(4)));
    assert_eq!((own.write_node_count.of(7), set.preference(Some(0))), (3, all));
    assert!(set.sorts_by_timing());
    assert_eq!((all.missing_left_out, own.missing_left_out), (1, 2));
    let known = |notice: &String| !notice.contains("affinity") && !notice.contains("suppression");
    assert!(set.notices.iter().all(known), "{:?}", set.notices);
    for bad in ["sorting_method = best", "read_affinity = r1", "write_affinity = 1", "write_affinity_node_count = x"] {
        let text = format!("[pipeline:main]\npipeline = proxy-server\n[proxy-server:policy:0]\n{bad}\n");
        assert!(parse(&text).is_err(), "{bad}");
    }
}

#[test]
fn statsd_is_off_without_a_host_and_the_access_logs_own_options_go_first() {
    let parse = |more: &str| parse(&format!("[pipeline:main]\npipeline = proxy-logging proxy-server\n{more}"));
    assert_eq!(parse("").unwrap().proxy_logging.statsd, None);
    let set = parse(
        "[filter:proxy-logging]\nlog_statsd_host = one\naccess_log_statsd_host = two\nlog_statsd_port = 9\n\
         log_statsd_default_sample_rate = 0.5\nlog_statsd_sample_rate_factor = 0.5\nlog_statsd_metric_prefix = site\n",
    )
    .unwrap();
    let statsd = set.proxy_logging.statsd.unwrap();
    assert_eq!((statsd.host.as_str(), statsd.port, statsd.prefix.as_str()), ("two", 9, "site.proxy-server."));
    assert_eq!((statsd.sample_rate, statsd.methods.len()), (0.25, 8));
    assert!(set.notices.iter().all(|notice| !notice.contains("statsd")), "{:?}", set.notices);
    for bad in ["log_statsd_port = x", "log_statsd_default_sample_rate = 2"] {
        assert!(parse(&format!("[filter:proxy-logging]\nlog_statsd_host = h\n{bad}\n")).is_err(), "{bad}");
    }
}

#[test]
fn concurrent_gets_are_measured_unless_somebody_says_otherwise() {
    let hedging = |app: &str, policy: &str| {
        let text = format!(
            "[pipeline:main]\npipeline = proxy-server\n[app:proxy-server]\n{app}\n[proxy-server:policy:1]\n{policy}\n"
        );
        let set = parse(&text).unwrap();
        assert!(set.notices.iter().all(|notice| !notice.contains("concurren")), "{:?}", set.notices);
        (set.preference(None).hedging, set.preference(Some(1)).hedging)
    };
    let after = |milliseconds| Hedging::After(Duration::from_millis(milliseconds));
    assert_eq!(hedging("", ""), (Hedging::Measured, Hedging::Measured));
    assert_eq!(hedging("conn_timeout = 0.3", "concurrent_gets = yes"), (Hedging::Measured, after(300)));
    assert_eq!(hedging("concurrent_gets = on", "concurrency_timeout = 2"), (after(500), after(2000)));
    assert_eq!(hedging("concurrent_gets = off", "concurrent_gets = measured"), (Hedging::Off, Hedging::Measured));
    assert!(
        parse("[pipeline:main]\npipeline = proxy-server\n[app:proxy-server]\nconcurrency_timeout = soon\n").is_err()
    );
}

#[test]
fn tempauths_prefix_has_a_slash_at_both_ends() {
    let prefix = |text: &str| {
        let config = parse(&format!(
            "[pipeline:main]\npipeline = tempauth proxy-server\n[filter:tempauth]\nuser_a_b = c .admin\nauth_prefix = {text}\n"
        ));
        config.map(|config| config.tempauth_prefix).unwrap()
    };
    for (text, expected) in
        [("/auth/", "/auth/"), ("login", "/login/"), ("/a/b", "/a/b/"), ("", "/auth/"), ("//", "/auth/")]
    {
        assert_eq!(prefix(text), expected, "{text}");
    }
}
