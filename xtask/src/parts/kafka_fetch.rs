//! Apache Kafka's jars from Maven Central, once, into the cache folder; and the Java that runs them.
//!
//! Left out: starting a broker (`kafka`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::cache_folder;
use crate::progress::say;
use crate::supervise::{Guarded, Scratch, find_program};

/// The version that is fetched.
pub const KAFKA_VERSION: &str = "4.1.0";

/// The oldest Java that runs it.
const OLDEST_JAVA: u32 = 17;

/// The file whose presence says that the folder beside it is whole.
const MARKER: &str = "complete";

/// How Java runs a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jvm {
    /// Soon ready and small, for a broker that lives for minutes. Its collector stops it for 25 to 66 ms every seven seconds.
    Quick,
    /// By the heap and collector options of Kafka's own `kafka-server-start.sh`, for times that are to tell of a real broker.
    AsShipped,
}

/// A Kafka that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaProgram {
    /// The `java` to run.
    pub java: PathBuf,
    /// The folder of the jars.
    pub libraries: PathBuf,
    /// How brokers are run.
    pub jvm: Jvm,
}

impl KafkaProgram {
    /// Finds Java and the jars, fetching the latter where that is possible; the error says what is missing.
    pub async fn find_or_get(offline: bool) -> Result<Self> {
        let java = find_java()?;
        let target = cache_folder()?.join(format!("kafka-{KAFKA_VERSION}"));
        if !target.join(MARKER).exists() {
            if offline {
                bail!("Apache Kafka {KAFKA_VERSION} is not in the cache, and --offline forbids fetching it");
            }
            fetch(&target).await?;
        }
        Ok(Self {
            java,
            libraries: target.join("libs"),
            jvm: Jvm::Quick,
        })
    }

    /// A guarded call of a broker; its properties file follows.
    #[must_use]
    pub fn broker(&self) -> Guarded {
        let command = Guarded::new(&self.java).args(self.jvm.options());
        self.class(command, "kafka.Kafka")
    }

    /// A guarded call of the tool that formats a broker's data folder.
    #[must_use]
    pub fn storage_tool(&self) -> Guarded {
        let command = Guarded::new(&self.java).args(QUICK).arg("-Xmx128m");
        self.class(command, "kafka.tools.StorageTool")
    }

    fn class(&self, command: Guarded, class: &str) -> Guarded {
        let class_path = format!("{}/*", self.libraries.display());
        command
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .args(["-cp", &class_path, class])
    }
}

/// No time for the better compiler, and no threads for collectors.
const QUICK: [&str; 2] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

impl Jvm {
    fn options(self) -> Vec<&'static str> {
        match self {
            Self::Quick => [&QUICK[..], &["-Xmx512m"]].concat(),
            Self::AsShipped => vec![
                "-server",
                "-Xmx1G",
                "-Xms1G",
                "-XX:+UseG1GC",
                "-XX:MaxGCPauseMillis=20",
                "-XX:InitiatingHeapOccupancyPercent=35",
                "-XX:+ExplicitGCInvokesConcurrent",
            ],
        }
    }
}

/// The Java on JAVA_HOME or PATH, if it is recent enough.
fn find_java() -> Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let java = home
        .filter(|java| java.exists())
        .or_else(|| find_program(&["java"]));
    let java =
        java.context("there is no java on PATH (on Debian: apt-get install default-jdk-headless maven)")?;
    let output = Command::new(&java)
        .arg("-version")
        .output()
        .context("running java -version")?;
    // Java has always printed its version to standard error.
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match parse_java_version(&text) {
        Some(version) if version >= OLDEST_JAVA => Ok(java),
        Some(version) => bail!(
            "{} is Java {version}, {OLDEST_JAVA} or later is needed",
            java.display()
        ),
        None => bail!("{} does not say its version", java.display()),
    }
}

/// Lets Maven copy the jars into a work folder, which becomes `target` by one rename.
async fn fetch(target: &Path) -> Result<()> {
    let maven =
        find_program(&["mvn"]).context("there is no mvn on PATH (on Debian: apt-get install maven)")?;
    say(format!(
        "fetching Apache Kafka {KAFKA_VERSION} by Maven into {}",
        target.display()
    ));
    let parent = target.parent().context("the cache folder has no parent")?;
    let work = Scratch::new_in(parent, "kafka", &[])?;
    let staged = work.subfolder("staged")?;
    std::fs::write(work.path().join("pom.xml"), pom())?;
    let copy = Guarded::new(maven)
        .args([
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
        ])
        .arg(format!("-DoutputDirectory={}", staged.join("libs").display()))
        .folder(work.path())
        .pid_file(work.path().join("maven.pid"));
    copy.output().await.context("mvn dependency:copy-dependencies")?;
    finish(&staged, target)
}

/// Marks the staged folder as whole and gives it its final name.
fn finish(staged: &Path, target: &Path) -> Result<()> {
    let jars = std::fs::read_dir(staged.join("libs"))
        .context("Maven copied nothing")?
        .count();
    std::fs::write(staged.join(MARKER), format!("{jars} jars\n"))?;
    if let Err(error) = std::fs::rename(staged, target) {
        // Another run may have been faster; only a folder without the marker is in the way.
        if !target.join(MARKER).exists() {
            return Err(error).with_context(|| format!("renaming to {}", target.display()));
        }
    }
    say(format!("fetched {jars} jars"));
    Ok(())
}

/// The project whose dependencies are the broker; slf4j-simple shows its warnings.
fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>holdfast</groupId><artifactId>kafka-libraries</artifactId><version>1</version>\n  \
         <dependencies>\n{}{}  </dependencies>\n</project>\n",
        dependency("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
        dependency("org.slf4j", "slf4j-simple", "1.7.36"),
    )
}

/// The major version in `java -version`; before Java 9 it was the second number.
fn parse_java_version(text: &str) -> Option<u32> {
    let quoted = text.split('"').nth(1)?;
    let mut numbers = quoted.split(['.', '-', '_', '+']).map(str::parse::<u32>);
    match numbers.next()?.ok()? {
        1 => numbers.next()?.ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_versions_old_and_new_are_understood() {
        assert_eq!(
            parse_java_version("openjdk version \"17.0.15\" 2025-04-15"),
            Some(17)
        );
        assert_eq!(parse_java_version("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(
            parse_java_version("openjdk version \"25-ea\" 2025-09-16"),
            Some(25)
        );
        assert_eq!(parse_java_version("java version \"1.8.0_402\""), Some(8));
        assert_eq!(parse_java_version("no version"), None);
    }

    #[test]
    fn a_broker_as_shipped_has_the_better_compiler_and_a_collector_that_stops_it_briefly() {
        let (quick, shipped) = (Jvm::Quick.options(), Jvm::AsShipped.options());
        assert!(QUICK.iter().all(|option| quick.contains(option)));
        assert!(QUICK.iter().all(|option| !shipped.contains(option)));
        assert!(shipped.contains(&"-XX:MaxGCPauseMillis=20"));
    }

    #[test]
    fn a_folder_without_libraries_is_never_marked_as_whole() {
        let work = tempfile::tempdir().unwrap();
        let (staged, target) = (work.path().join("staged"), work.path().join("target"));
        std::fs::create_dir(&staged).unwrap();
        assert!(finish(&staged, &target).is_err());
        assert!(!target.exists());
        std::fs::create_dir(staged.join("libs")).unwrap();
        finish(&staged, &target).unwrap();
        assert!(target.join(MARKER).exists());
    }
}
