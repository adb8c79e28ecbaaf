//! Operations that SQLite's writer does together.
//!
//! What such an operation reads and writes is known beforehand, so all that wait are done by a few statements: one that reads for
//! all, and one for each table that writes for all. Between them each is decided by itself; one that is refused writes
//! nothing. If a statement fails, the batch is undone and each is done alone, so that a failure is only its own.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Instant,
};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    POOL, Pools, Store,
    answers::{Question, Taken, decide},
    connections::note_wait,
    engine::{Engine, Timing},
    error::Error,
    place,
    writer::{State, Waiter, stopped},
    writes::{NewSeats, Writes},
    writes_rows::Rows,
};
use crate::telemetry::instruments::{self, database::Waiting};

/// Operations in one round of statements.
const ROUND: usize = 32;

/// An operation for the writer.
#[derive(Debug)]
pub(super) enum Job {
    /// Rows to write.
    Write(Writes),
    /// Somebody's answer.
    Answer(Question),
}

impl Job {
    /// What it runs, or begins with: of itself alone.
    fn text(&self) -> &'static str {
        match self {
            Self::Write(writes) => {
                let shape = Rows::of([writes]).shape();
                shape.map_or("", |shape| shape.text(Engine::Sqlite))
            }
            Self::Answer(_) => place::FIND.sqlite,
        }
    }
}

/// What it came to.
#[derive(Debug)]
pub(super) enum Reply {
    /// It is written.
    Written,
    /// The answer is taken.
    Taken(Box<Taken>),
    /// It needs a transaction of its own; nothing is written.
    Alone,
}

/// A reply, with what it took.
#[derive(Debug)]
pub(super) struct Finished {
    reply: Reply,
    began: Instant,
    ended: Instant,
}

/// A job that waits for the writer.
#[derive(Debug)]
pub(super) struct Queued {
    job: Job,
    done: oneshot::Sender<Result<Finished, Error>>,
    /// It counts as waiting until it begins.
    waiting: Option<Waiting>,
}

impl Queued {
    /// Two answers of one person to one event cannot be read for at once.
    fn alone(&self) -> Option<(Uuid, Uuid)> {
        match &self.job {
            Job::Write(_) => None,
            Job::Answer(question) => Some((question.event_id, question.actor.user_id)),
        }
    }

    fn question(&self) -> Option<&Question> {
        match &self.job {
            Job::Write(_) => None,
            Job::Answer(question) => Some(question),
        }
    }
}

/// The next that can be done together, in order of arrival.
fn next_round(queue: &mut VecDeque<Queued>) -> Vec<Queued> {
    let (mut round, mut later, mut seen) = (Vec::new(), VecDeque::new(), HashSet::new());
    for one in queue.drain(..) {
        if round.len() < ROUND && one.alone().is_none_or(|key| seen.insert(key)) {
            round.push(one);
        } else {
            later.push_back(one);
        }
    }
    *queue = later;
    round
}

/// An event's seats as the answers before left them, and whether anybody waits.
type Carried = HashMap<Uuid, (NewSeats, bool)>;

/// Decides an answer after those that came before it in the same round.
fn answer_next(
    question: &Question,
    found: Option<Result<place::Place, Error>>,
    carried: &mut Carried,
) -> Result<(Reply, Writes), Error> {
    let mut place = found.ok_or(Error::NotFound)??;
    if let Some((seats, anybody_waits)) = carried.get(&question.event_id) {
        place.seated.seats.taken = seats.taken;
        place.seated.seats.next_place = seats.next_place;
        (place.version, place.updated_at) = (seats.version, seats.updated_at);
        place.anybody_waits |= anybody_waits;
    }
    let next_place = place.seated.seats.next_place;
    let mut decision = decide(&place, question)?;
    if decision.frees_a_seat {
        return Ok((Reply::Alone, Writes::default()));
    }
    if let Some(seats) = decision.writes.take_seats() {
        let waits = place.anybody_waits || seats.next_place != next_place;
        carried.insert(question.event_id, (seats, waits));
    }
    Ok((Reply::Taken(Box::new(decision.taken)), decision.writes))
}

impl State {
    /// Does the jobs; they wait for the commit.
    pub(super) async fn work(&mut self, jobs: Vec<Queued>) {
        // One whose client went away is not begun.
        let waited_for = |one: &Queued| !one.done.is_closed();
        let mut queue: VecDeque<Queued> = jobs.into_iter().filter(waited_for).collect();
        while !queue.is_empty() {
            let mut round = next_round(&mut queue);
            let began = Instant::now();
            for one in &mut round {
                one.waiting = None;
            }
            match self.attempt(&round).await {
                Ok(replies) => self.finish(round, replies, began),
                Err(failure) if round.len() == 1 => self.finish(round, vec![Err(failure)], began),
                Err(_) => {
                    for one in round {
                        let one = vec![one];
                        let reply = match self.attempt(&one).await {
                            Ok(replies) => replies,
                            Err(failure) => vec![Err(failure)],
                        };
                        self.finish(one, reply, began);
                    }
                }
            }
        }
    }

    /// Those that did something wait for the commit, the others are answered.
    fn finish(&mut self, jobs: Vec<Queued>, replies: Vec<Result<Reply, Error>>, began: Instant) {
        let ended = Instant::now();
        for (one, reply) in jobs.into_iter().zip(replies) {
            let finished = reply.map(|reply| Finished {
                reply,
                began,
                ended,
            });
            match finished {
                Ok(finished) if !matches!(finished.reply, Reply::Alone) => {
                    self.waiting.push(Waiter::Job(one.done, finished));
                }
                // Whoever does not wait any more is not told.
                answer => drop(one.done.send(answer)),
            }
        }
    }

    /// Does them in one turn; if it fails, nothing is left of it.
    async fn attempt(&mut self, jobs: &[Queued]) -> Result<Vec<Result<Reply, Error>>, Error> {
        self.enter().await?;
        match self.write_all(jobs).await {
            Ok(replies) => self.leave().await.map(|()| replies),
            Err(failure) => {
                self.undo().await;
                Err(failure)
            }
        }
    }

    async fn write_all(&mut self, jobs: &[Queued]) -> Result<Vec<Result<Reply, Error>>, Error> {
        let questions: Vec<&Question> = jobs.iter().filter_map(Queued::question).collect();
        let mut found = Vec::new();
        if !questions.is_empty() {
            found = place::find_all(&mut self.connection, &questions).await?;
        }
        let mut found = found.into_iter();
        let mut carried = Carried::new();
        let mut decided = Vec::with_capacity(jobs.len());
        for one in jobs {
            decided.push(match &one.job {
                Job::Write(_) => Ok((Reply::Written, Writes::default())),
                Job::Answer(question) => {
                    answer_next(question, found.next().flatten(), &mut carried)
                }
            });
        }
        let mut seats = Writes::default();
        for (row, _) in carried.into_values() {
            seats.seats(row);
        }
        let ready = jobs.iter().filter_map(|one| match &one.job {
            Job::Write(writes) => Some(writes),
            Job::Answer(_) => None,
        });
        let answers = decided.iter().flatten().map(|(_, writes)| writes);
        let all = ready.chain(answers).chain([&seats]);
        Rows::of(all).write(&mut self.connection).await?;
        Ok(decided
            .into_iter()
            .map(|one| one.map(|(reply, _)| reply))
            .collect())
    }
}

impl Store {
    /// Does an operation together with others where the engine has one writer, again where that is safe; else, or when it turns
    /// out to need a transaction of its own, it is left to the caller.
    pub(super) async fn together(
        &self,
        name: &'static str,
        job: impl Fn() -> Job,
    ) -> Result<Reply, Error> {
        let Pools::Sqlite { writer, .. } = &self.inner.pools else {
            return Ok(Reply::Alone);
        };
        let mut retry = self.retry();
        loop {
            let (done, finished) = oneshot::channel();
            let job = job();
            let timing = Timing::start(Engine::Sqlite, name, job.text());
            let handed_over = Instant::now();
            writer.hand_over(Queued {
                job,
                done,
                waiting: Some(instruments::database::waiting(POOL)),
            });
            let outcome = finished.await.unwrap_or_else(|_| Err(stopped()));
            let answered = Instant::now();
            match outcome {
                Ok(Finished {
                    reply,
                    began,
                    ended,
                }) => {
                    note_wait(POOL, began - handed_over, None);
                    let alone = matches!(reply, Reply::Alone);
                    let committed = (!alone).then(|| answered - ended);
                    timing.observe_batched(None, ended - began, committed);
                    return Ok(reply);
                }
                Err(failure) => {
                    let failed = failure.is_failure();
                    let error_type = failed.then(|| failure.error_type(Engine::Sqlite));
                    timing.observe_batched(error_type, answered - handed_over, None);
                    if !retry.again(&failure).await {
                        return Err(failure);
                    }
                }
            }
        }
    }
}
