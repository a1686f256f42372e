//! The Keystone that `--profile keystone` trusts: where it is, and the service user of the proxy there, taken from the environment
//! as the `openstack` command takes it (`OS_USERNAME` …). Nothing of it is kept but in the proxy's own configuration.

use super::Options;
use crate::Failure;

/// Options of authtoken and the variables they come from.
const VARIABLES: [(&str, &str); 8] = [
    ("username", "OS_USERNAME"),
    ("password", "OS_PASSWORD"),
    ("project_name", "OS_PROJECT_NAME"),
    ("project_id", "OS_PROJECT_ID"),
    ("user_domain_id", "OS_USER_DOMAIN_ID"),
    ("user_domain_name", "OS_USER_DOMAIN_NAME"),
    ("project_domain_id", "OS_PROJECT_DOMAIN_ID"),
    ("project_domain_name", "OS_PROJECT_DOMAIN_NAME"),
];

/// Keystone as the proxy is told of it.
pub(super) struct Keystone {
    /// `http://keystone:5000/v3`
    pub(super) url: String,
    /// Lines of `[filter:authtoken]`.
    pub(super) options: String,
}

impl Keystone {
    /// From the command line and the environment.
    pub(super) fn find(options: &Options) -> Result<Keystone, Failure> {
        Keystone::read(options.keystone_url.as_deref(), |name| std::env::var(name).ok())
    }

    fn read(url: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Result<Keystone, Failure> {
        let url = url.ok_or_else(|| {
            Failure::usage("--profile keystone needs --keystone-url (or OS_AUTH_URL), such as http://127.0.0.1:5000/v3")
        })?;
        let mut found: Vec<(&str, String)> = Vec::new();
        for (option, name) in VARIABLES {
            let Some(value) = variable(name).filter(|value| !value.is_empty()) else { continue };
            // What the file's own rules would read in another way.
            if value.contains("%(") || value.contains(char::is_control) || value.trim() != value {
                return Err(Failure::usage(format!("{name} cannot be written into a configuration file")));
            }
            found.push((option, value));
        }
        for (option, name) in VARIABLES.iter().take(2) {
            if !found.iter().any(|(known, _)| known == option) {
                let text = "of the user whom the proxy asks Keystone as, such as `swift` in the project `service`";
                return Err(Failure::usage(format!("--profile keystone needs {name} in the environment, {text}")));
            }
        }
        let mut lines = format!("auth_url = {url}\ndefault_domain_id = default\n");
        for (option, value) in found {
            lines.push_str(&format!("{option} = {value}\n"));
        }
        Ok(Keystone { url: url.to_owned(), options: lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: Option<&str>, set: &[(&str, &str)]) -> Result<String, String> {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Keystone::read(url, variable).map(|keystone| keystone.options).map_err(|failure| failure.message)
    }

    #[test]
    fn the_service_user_comes_from_the_environment() {
        let set = [("OS_USERNAME", "swift"), ("OS_PASSWORD", "50%"), ("OS_PROJECT_NAME", "service")];
        let options = read(Some("http://h:5000"), &set).unwrap();
        assert!(options.contains("auth_url = http://h:5000\n"), "{options}");
        assert!(options.contains("username = swift\npassword = 50%\nproject_name = service\n"), "{options}");
    }

    #[test]
    fn what_is_missing_or_cannot_be_written_is_named() {
        let check = |url, set: &[(&str, &str)], part: &str| {
            let message = read(url, set).unwrap_err();
            assert!(message.contains(part), "{message}");
        };
        check(None, &[], "--keystone-url");
        check(Some("http://h"), &[("OS_USERNAME", "swift")], "OS_PASSWORD");
        check(Some("http://h"), &[("OS_PASSWORD", "x")], "OS_USERNAME");
        check(Some("http://h"), &[("OS_USERNAME", "a\nauth_url = http://evil")], "OS_USERNAME cannot be written");
    }
}
