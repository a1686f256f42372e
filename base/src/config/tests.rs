//! The dialect, defaults and errors of server files.

use super::*;
use proptest::prelude::*;

fn check(text: &str, section: &str, expected: &[(&str, &str)]) {
    let config = Config::parse("/etc/swift/proxy-server.conf", text).unwrap();
    let section = config.section(section).unwrap();
    for (name, value) in expected {
        assert_eq!(section.get(name), Some(*value), "{name} of {text}");
    }
    assert_eq!(section.options.len(), expected.len(), "{section:?}");
}

fn check_error(text: &str, beginning: &str) {
    let error = Config::parse("x.conf", text).unwrap_err();
    assert!(error.message.starts_with(beginning), "{error}");
}

#[test]
fn both_separators_comments_and_continuations() {
    check(
        "# c\n[a]\n; c\nx = 1 ; no comment\ny: a=b\nlong = one\n  two\n\n\tthree\n  # c\n\nlast =\r\n",
        "a",
        &[("x", "1 ; no comment"), ("y", "a=b"), ("long", "one\ntwo\n\nthree"), ("last", "")],
    );
}

#[test]
fn names_keep_their_case_and_are_found_in_any() {
    let text = "[filter:tempauth]\nuser_Admin_Ann = k .admin\nuser_admin_ann = other\nBind_Port = 1\n";
    check(text, "filter:tempauth", &[("user_Admin_Ann", "k .admin"), ("user_admin_ann", "other"), ("bind_port", "1")]);
}

#[test]
fn a_paste_section_overrides_a_default_only_with_set() {
    let text = "[DEFAULT]\nlog_level = INFO\nworkers = 2\n[app:proxy-server]\nuse = egg:swift#proxy\n\
                workers = 9\nset log_level = DEBUG\nown = 1\nget other = workers\n";
    check(
        text,
        "app:proxy-server",
        &[("log_level", "DEBUG"), ("workers", "2"), ("use", "egg:swift#proxy"), ("own", "1"), ("other", "2")],
    );
}

#[test]
fn another_section_overrides_a_default() {
    check(
        "[DEFAULT]\nworkers = 2\n[object-updater]\nworkers = 9\n[DEFAULT]\nmore = 1\n",
        "object-updater",
        &[("workers", "9"), ("more", "1")],
    );
}

#[test]
fn options_refer_to_options() {
    let text = "[DEFAULT]\ndir = %(here)s/x\nfree = 1%\n[app:a]\nlog = %(dir)s/%(name)s.log at 100%%\nname = n\n";
    check(
        text,
        "app:a",
        &[("dir", "/etc/swift/x"), ("free", "1%"), ("log", "/etc/swift/x/n.log at 100%"), ("name", "n")],
    );
    check_error("[a]\nx = %(y)s\ny = %(x)s\n", "x.conf:2: the %(...)s");
    check_error("[a]\nx = %(nope)s\n", "x.conf:2: %(nope)s refers");
    check_error("[a]\n\nx = %(y)s 5%\ny = 1\n", "x.conf:3: '%' must");
}

#[test]
fn what_python_refuses_is_refused_with_its_line() {
    check_error("x = 1\n", "x.conf:1: \"x = 1\" stands before");
    check_error("[a]\nx\n", "x.conf:2: \"x\" is neither");
    check_error("[a]\n= 1\n", "x.conf:2: \"= 1\" has no option name");
    check_error("[a]\nx = 1\nx = 2\n", "x.conf:3: option 'x' in section [a] already exists at x.conf:2");
    check_error("[a]\n[b]\n[a]\n", "x.conf:3: section [a] already exists at x.conf:1");
}

#[test]
fn typed_options_have_bounds_and_say_where() {
    let config =
        Config::parse("x.conf", "[a]\nport = 99999\nwait = 0.5\non = Yes\nlist = a, b,,c\ntypo = 1\n").unwrap();
    let section = config.section("a").unwrap();
    let error = section.integer("port", 1, 1..=65535).unwrap_err();
    assert_eq!(error.message, "x.conf:2: port = 99999 is not possible, it must be a whole number from 1 to 65535");
    assert_eq!(section.seconds("wait", 9.0), Ok(Duration::from_millis(500)));
    assert_eq!(section.integer("missing", 7, 1..=9), Ok(7));
    assert!(section.boolean("on", false));
    assert_eq!(section.list("list", ""), ["a", "b", "c"]);
    assert_eq!(section.unknown(), [("typo".to_owned(), "x.conf:6".to_owned())]);
    assert_eq!(config.section_or_defaults("b").get("port"), None);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\[[a-z:]{0,3}\\]|[ %()sa-z=:#\r\n]{0,9}|é|DEFAULT){0,20}") {
        let _ = (Config::parse("f", &text), SwiftConf::parse("f", &text));
    }
}
