//! The work of a run: every line by every contestant, on as many models as there are threads.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gander::catalog::Catalog;
use gander::device_choice::DeviceChoice;
use gander::experts::{Expert, hex};
use gander::formats::open::{read, unreadable};
use gander::sampling::Sampling;
use gander::session::{OnMiss, Request, Session, Strategy};
use gander::{Error, ErrorCode, Result};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::answer::{Answer, answer, target_ids};
use super::contestant::{Contestant, Wishes};
use super::journal::Journal;
use super::summary::Bootstrap;
use super::{Eval, JOURNAL};
use crate::cli::data::{DataSet, Line, Task};
use crate::cli::host;
use crate::cli::output::Output;

/// What is to be done.
pub struct Run {
    pub contestants: Vec<Contestant>,
    pub sets: Vec<DataSet>,
    /// What all results depend on.
    pub identity: Map<String, Value>,
    pub bootstrap: Bootstrap,
    request: Request,
    /// By strategy, the hashes of the vectors that it has.
    vectors: VectorHashes,
    /// By label, hashes of other models.
    models: Vec<(String, String)>,
    /// What was found to be the best, so that all threads have the same.
    device: DeviceChoice,
}

/// By strategy, of the files of its vectors.
type VectorHashes = Vec<(Strategy, String)>;

/// One line for one contestant.
#[derive(Clone, Copy)]
struct Job {
    contestant: usize,
    set: usize,
    line: usize,
}

impl Run {
    /// Looks at everything that can be wrong before the first line is answered.
    pub fn prepare(arguments: &Eval, mut sets: Vec<DataSet>) -> Result<Run> {
        let Eval { model, rules, .. } = arguments;
        let (session, _) = model.open(&[])?;
        let sampling = Sampling { seed: arguments.seed, ..Sampling::default() };
        let request = Request { max_new_tokens: arguments.max_new_tokens, sampling, ..rules.request()? };
        let may_be_chosen = |expert: &Expert| {
            let named = |ids: &[String]| ids.iter().any(|id| expert.is_called(id));
            (request.include.is_empty() || named(&request.include)) && !named(&request.exclude)
        };
        let (strategies, top_k, models) = (&arguments.strategy, &arguments.top_k, &arguments.model_too);
        let contestants =
            Wishes { strategies, top_k, models }.contestants(session.experts(), may_be_chosen)?;
        if contestants.is_empty() {
            let expected = "at least one strategy, and experts for the oracle";
            return Err(Error::new(ErrorCode::InvalidOption, "--strategy", "there is none", expected));
        }
        if let Some(against) = &arguments.against
            && !contestants.iter().any(|contestant| contestant.label == *against)
        {
            let labels: Vec<&str> = contestants.iter().map(|contestant| contestant.label.as_str()).collect();
            let expected = format!("one of: {}", labels.join(", "));
            let problem = format!("{against:?} is not evaluated");
            return Err(Error::new(ErrorCode::InvalidOption, "--against", problem, expected));
        }
        for set in &mut sets {
            check_targets(&session, set, request.max_new_tokens)?;
            for line in &mut set.lines {
                // In every catalogue, where several have an expert of that id.
                let is_named = |expert: &&Expert| {
                    line.experts.iter().any(|name| expert.is_called(name) || expert.own_id() == name)
                };
                line.experts =
                    session.experts().iter().filter(is_named).map(|expert| expert.id.clone()).collect();
            }
        }
        let name = session.devices().name();
        let device = if name == "cpu" { DeviceChoice::Cpu } else { model.device() };
        let (identity, mut vectors) = identify(arguments, &request, name)?;
        vectors.retain(|(strategy, _)| contestants.iter().any(|contestant| contestant.strategy == *strategy));
        let bootstrap = Bootstrap { resamples: arguments.resamples, seed: arguments.seed };
        let models = models.iter().map(|(label, path)| Ok((label.clone(), hash_of(path)?)));
        let models = models.collect::<Result<_>>()?;
        Ok(Run { models, contestants, sets, identity, bootstrap, request, vectors, device })
    }

    /// Answers what is not answered yet. By contestant, set and line.
    pub fn answers(&self, arguments: &Eval) -> Result<Vec<Vec<Vec<Answer>>>> {
        let mut output = Output::default();
        output.folder(&arguments.output)?;
        output.commit()?;
        let journal = Journal::open(&arguments.output.join(JOURNAL), &self.identity, arguments.restart)?;
        let jobs: Vec<Job> = self.jobs().filter(|job| journal.get(&self.key(*job)).is_none()).collect();
        let journal = Mutex::new(journal);
        self.work(arguments, &jobs, &journal)?;
        let journal = journal.into_inner().expect("no thread panicked");
        let find = |contestant, set, line| {
            let answer = journal.get(&self.key(Job { contestant, set, line })).expect("all jobs are done");
            // The same work under another name, where there were several k, say.
            let strategy = self.contestants[contestant].label.clone();
            Answer { strategy, ..answer.clone() }
        };
        let lines =
            |contestant, set: usize| (0..self.sets[set].lines.len()).map(move |line| (contestant, set, line));
        let sets = |contestant| (0..self.sets.len()).map(move |set| lines(contestant, set));
        Ok((0..self.contestants.len())
            .map(|contestant| {
                sets(contestant)
                    .map(|lines| lines.map(|(contestant, set, line)| find(contestant, set, line)).collect())
                    .collect()
            })
            .collect())
    }

    /// Contestant by contestant, since another strategy means other vectors in the layers.
    fn jobs(&self) -> impl Iterator<Item = Job> {
        (0..self.contestants.len()).flat_map(move |contestant| {
            self.sets.iter().enumerate().flat_map(move |(set, data)| {
                (0..data.lines.len()).map(move |line| Job { contestant, set, line })
            })
        })
    }

    fn parts(&self, job: Job) -> (&Contestant, &DataSet, &Line) {
        let set = &self.sets[job.set];
        (&self.contestants[job.contestant], set, &set.lines[job.line])
    }

    /// Everything that decides a result, beside what all results depend on.
    fn key(&self, job: Job) -> String {
        let (contestant, set, line) = self.parts(job);
        let vectors = self.vectors.iter().find(|(strategy, _)| *strategy == contestant.strategy);
        let k = contestant.top_k.or(self.request.top_k).map_or_else(String::new, |k| k.to_string());
        let vectors = vectors.map_or("", |(_, hash)| hash);
        let (name, number) = (contestant.strategy.name(), line.number.to_string());
        let other = self.models.iter().find(|(label, _)| *label == contestant.label);
        let other = other.map_or("", |(_, hash)| hash);
        let parts = [&name, &k, vectors, other, &set.name, &number, &line.hash];
        hex(&Sha256::digest(parts.join("\n").as_bytes())[..8])
    }

    fn work(&self, arguments: &Eval, jobs: &[Job], journal: &Mutex<Journal>) -> Result<()> {
        // Lines that are answered at once, each by a model of its own. A GPU is shared by all, and so many models would not fit.
        let lines = match self.device == DeviceChoice::Cpu {
            true => arguments.model.threads.clamp(1, jobs.len().max(1)),
            false => 1,
        };
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let progress = Progress::new(jobs.len(), self.jobs().count());
        std::thread::scope(|scope| {
            for _ in 0..lines {
                scope.spawn(|| {
                    if let Err(error) = self.work_off(arguments, jobs, &next, journal, &progress) {
                        next.store(jobs.len(), Ordering::Relaxed);
                        failed.lock().expect("no thread panicked").get_or_insert(error);
                    }
                });
            }
        });
        progress.end();
        failed.into_inner().expect("no thread panicked").map_or(Ok(()), Err)
    }

    fn work_off(
        &self,
        arguments: &Eval,
        jobs: &[Job],
        next: &AtomicUsize,
        journal: &Mutex<Journal>,
        progress: &Progress,
    ) -> Result<()> {
        if next.load(Ordering::Relaxed) >= jobs.len() {
            return Ok(());
        }
        let strategies: Vec<Strategy> = self.vectors.iter().map(|(strategy, _)| strategy.clone()).collect();
        let threads = match self.device {
            DeviceChoice::Cpu => 1,
            _ => arguments.model.threads,
        };
        let mut open = Opened { model: None, session: None };
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (contestant, set, line) = self.parts(*job);
            let session = open.of(contestant, |base| match base {
                None => arguments.model.open_on(self.device, threads, &strategies),
                Some(base) => host::open(self.device, threads, base, &[] as &[PathBuf], &[]),
            })?;
            if self.request.on_miss == OnMiss::Skip {
                // Else what a line does without would depend on the lines before it.
                session.evict_all();
            }
            let answer = answer(session, contestant, &self.request, &set.name, line, self.key(*job));
            let answer = answer.map_err(|error| {
                error.inside(format!("{}:{}, {}", set.file.display(), line.number, contestant.label))
            })?;
            journal.lock().expect("no thread panicked").add(answer)?;
            progress.done(contestant, set);
        }
        Ok(())
    }
}

/// The model that a thread has open.
struct Opened {
    /// Another than the run's.
    model: Option<PathBuf>,
    session: Option<Session>,
}

impl Opened {
    /// The model of a contestant. Contestants come one after another, so one model at a time is enough.
    fn of(
        &mut self,
        contestant: &Contestant,
        open: impl FnOnce(Option<&Path>) -> Result<(Session, String)>,
    ) -> Result<&mut Session> {
        if self.session.is_none() || self.model != contestant.model {
            self.session = None;
            self.model.clone_from(&contestant.model);
            self.session = Some(open(self.model.as_deref())?.0);
        }
        Ok(self.session.as_mut().expect("it was opened just now"))
    }
}

/// An error for a target that the model could never write.
fn check_targets(session: &Session, set: &DataSet, most: usize) -> Result<()> {
    session.tokenizer().map_err(|error| error.clone().inside("--data"))?;
    for line in &set.lines {
        let Task::Write(targets) = &line.task else { continue };
        for target in targets {
            let place = || format!("{}:{}", set.file.display(), line.number);
            let tokens = target_ids(session, target).map_err(|error| error.inside(place()))?.len();
            if tokens > most {
                let problem = format!("a target has {tokens} tokens");
                let expected = format!("at most {most} (--max-new-tokens)");
                return Err(Error::new(ErrorCode::InvalidOption, place(), problem, expected));
            }
        }
    }
    Ok(())
}

/// What all results depend on; and the hashes of the vectors of strategies.
fn identify(arguments: &Eval, request: &Request, device: &str) -> Result<(Map<String, Value>, VectorHashes)> {
    let mut vectors = VectorHashes::new();
    let mut experts = Vec::new();
    for path in &arguments.model.experts {
        if path.is_dir() && !path.join(host::CATALOG).exists() {
            experts.push(hash_of(path)?);
            continue;
        }
        let file = host::catalog_file(path);
        let mut catalog = Catalog::parse(&file.display().to_string(), &read(&file)?)?;
        for (name, reference) in catalog.vector_files()? {
            // One that a later version has is none of this run's.
            let Ok(strategy) = Strategy::parse(&name) else { continue };
            match vectors.iter_mut().find(|(known, _)| *known == strategy) {
                Some((_, hash)) => hash.push_str(&reference.sha256),
                None => vectors.push((strategy, reference.sha256)),
            }
        }
        // Nothing that is for people decides a result, and vectors only that of their strategies.
        catalog.vectors.clear();
        for expert in &mut catalog.experts {
            let kept = (std::mem::take(&mut expert.id), std::mem::take(&mut expert.pages));
            *expert = gander::catalog::ExpertRecord {
                id: kept.0,
                pages: kept.1,
                title: String::new(),
                description: String::new(),
                licence: String::new(),
                tags: Vec::new(),
                source: String::new(),
                evaluation: Map::new(),
                adapter: expert.adapter.clone(),
            };
        }
        experts.push(hex(&Sha256::digest(catalog.to_json())));
    }
    let Request { include, exclude, bias, thresholds, on_miss, sampling, max_new_tokens, .. } = request;
    let identity = json!({
        "format": "gander-eval",
        "version": 1,
        "base": { "file": name_of(&arguments.model.base), "sha256": hash_of(&arguments.model.base)? },
        "experts": experts,
        "options": {
            "max_new_tokens": max_new_tokens,
            "include": include,
            "exclude": exclude,
            "bias": bias,
            "min_weight": thresholds.weight,
            "min_share": thresholds.share,
            "on_miss": format!("{on_miss:?}").to_lowercase(),
            "seed": sampling.seed,
            "device": device,
        },
    });
    match identity {
        Value::Object(identity) => Ok((identity, vectors)),
        _ => unreachable!("it is written as an object"),
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// SHA-256 of a file, or of all files in a folder with their names.
fn hash_of(path: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = vec![path.to_owned()];
    if path.is_dir() {
        let entries =
            std::fs::read_dir(path).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
        let entries = entries.map_err(|error| unreadable(path, &error))?;
        files = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        files.sort();
    }
    let mut hasher = Sha256::new();
    for file in &files {
        hasher.update(name_of(file).as_bytes());
        hasher.update(read(file)?);
    }
    Ok(hex(&hasher.finalize()))
}

/// Says on standard error how far it is.
struct Progress {
    start: Instant,
    jobs: usize,
    /// Done before.
    known: usize,
    state: Mutex<(usize, Option<Instant>)>,
}

impl Progress {
    fn new(jobs: usize, all: usize) -> Progress {
        if jobs < all {
            eprintln!("gander: {} of {all} answers are there already", all - jobs);
        }
        Progress { start: Instant::now(), jobs, known: all - jobs, state: Mutex::new((0, None)) }
    }

    fn done(&self, contestant: &Contestant, set: &DataSet) {
        let is_terminal = std::io::stderr().is_terminal();
        let pause = Duration::from_secs(if is_terminal { 1 } else { 10 });
        let mut state = self.state.lock().expect("no thread panicked");
        state.0 += 1;
        if state.1.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        state.1 = Some(Instant::now());
        let rate = state.0 as f64 / self.start.elapsed().as_secs_f64().max(1e-3);
        let minutes = (self.jobs - state.0) as f64 / rate / 60.0;
        let (done, all) = (self.known + state.0, self.known + self.jobs);
        let end = if is_terminal { "\x1b[K\r" } else { "\n" };
        let (label, name) = (&contestant.label, &set.name);
        eprint!(
            "gander: {done} of {all} answers, {rate:.1} a second, {minutes:.0} minutes left: {label} on {name}{end}"
        );
        // Nobody is helped by an error of a progress line.
        let _ = std::io::stderr().flush();
    }

    fn end(&self) {
        if std::io::stderr().is_terminal() && self.jobs > 0 {
            eprintln!();
        }
    }
}
