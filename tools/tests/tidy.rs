//! The house rules that no lint sees: cores stay pure, the runtime stays behind its door, every file tells its story.
//!
//! `Tree` holds the sources; each rule is a function from it to complaints. Every rule is tried on a planted violation too,
//! so that none can fall silent.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that reads sources; its constants are made at compile time"
)]

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/tree.rs"]
mod tree;

use rules::RULES;
use tree::Tree;

#[test]
fn the_house_is_tidy() {
    let tree = Tree::of_the_workspace();
    assert!(tree.files.len() > 50, "the sources were not found");
    let complaints: Vec<String> = RULES
        .iter()
        .flat_map(|rule| (rule.check)(&tree).into_iter().map(move |c| format!("{}: {c}", rule.name)))
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_rule_sees_its_planted_violation() {
    for rule in RULES {
        let clean = Tree::of_the_workspace();
        assert_eq!((rule.check)(&clean), Vec::<String>::new(), "{} complains of the clean tree", rule.name);
        for (path, text) in rule.planted {
            let mut planted = Tree::of_the_workspace();
            planted.plant(path, text);
            assert!(!(rule.check)(&planted).is_empty(), "{} does not see its violation planted in {path}", rule.name);
        }
    }
}
