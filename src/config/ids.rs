//! The ids that a configuration file gives its sources and destinations, for completion: read as far as the file can
//! be understood, and nothing in it is run or asked for.

use serde_yaml::Value;

use super::environment::Environment;
use super::file;

/// Whose ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Sources,
    Destinations,
}

/// The ids of the configuration file that applies without flags; none when there is no file that can be understood.
pub fn of_file(env: &dyn Environment, of: Of) -> Vec<String> {
    let variable = env.var("HOLOCRON_CONFIG").filter(|path| !path.trim().is_empty());
    let path = file::find(None, variable.as_deref().map(std::path::Path::new), env);
    let text = path.and_then(|path| std::fs::read_to_string(env.directory().join(path)).ok());
    text.map(|text| ids(&text, of)).unwrap_or_default()
}

fn ids(text: &str, of: Of) -> Vec<String> {
    let Ok(value) = serde_yaml::from_str::<Value>(text) else { return Vec::new() };
    let list = match of {
        Of::Sources => value.get("sources"),
        Of::Destinations => value.get("destinations"),
    };
    let entries = list.and_then(Value::as_sequence).into_iter().flatten();
    // Without an id it is the kind's name.
    let id = |entry: &Value| Some(entry.get("id").or(entry.get("kind"))?.as_str()?.to_owned());
    entries.filter_map(id).filter(|id| !id.contains("${")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_far_as_the_file_can_be_understood() {
        let text = "sources:\n  - {id: work, kind: gitlab}\n  - {kind: github, odd: 1}\n  - {id: '${X}', kind: dir}\n";
        assert_eq!(ids(text, Of::Sources), ["work", "github"]);
        assert!(ids(text, Of::Destinations).is_empty());
        assert!(ids("sources: [", Of::Sources).is_empty());
    }
}
