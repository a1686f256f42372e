//! What is answered of accounts that are gone.

use crate::testing::run;
use base::http::Method;

#[test]
fn a_deleted_account_says_so_to_those_who_write() {
    run(31, |world| async move {
        let never = world.call(Method::Delete, "/AUTH_never").await;
        assert_eq!((never.status, never.headers.contains("X-Account-Status")), (404, false));
        assert_eq!(world.call(Method::Put, "/AUTH_gone").await.status, 201);
        let deleted = world.call(Method::Delete, "/AUTH_gone").await;
        assert_eq!((deleted.status, deleted.headers.get_str("X-Account-Status")), (204, Some("Deleted")));
        for method in [Method::Delete, Method::Post] {
            let refused = world.call(method, "/AUTH_gone").await;
            let told = (refused.status, refused.headers.get_str("X-Account-Status"), &refused.body[..]);
            assert_eq!(told, (404, Some("Deleted"), &b""[..]), "{method:?}");
        }
    });
}
