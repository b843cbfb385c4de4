"""The six answers in six sentences, for terminals and the top of a report."""

from meta.answers import Answers, EncoderNeed


def six_sentences(answers: Answers) -> list[str]:
    """One line per question, in the order of the questions."""
    return [_data(answers), _level(answers), _label(answers), _space(answers), _model(answers), _settings(answers)]


def _data(answers: Answers) -> str:
    need, metric = answers.data_needed, answers.metric
    where = f"for {metric} {_rate(answers.target)} with {_space_name(need)}"
    if need.status == "reached":
        return f"1 Data: enough {where}: reached with the present {answers.n_train} rows ({need.p_reached_now:.0%} sure)"
    if need.q50 is None:
        chance = "" if need.status == "not_reachable" else f", {need.p_reachable:.0%} chance"
        return f"1 Data: {where}, not reachable within {need.searched_up_to} rows{chance}"
    high = str(need.q95) if need.q95 is not None else f"more than {need.searched_up_to}"
    return f"1 Data: {need.q50} labelled rows {where} (90 % interval {need.q05} to {high}; present: {answers.n_train})"


def _level(answers: Answers) -> str:
    curve = answers.encoders[0].curve
    now, ahead = curve[0], curve[-1]
    return (
        f"2 Level: {answers.metric} {_rate(now.q50)} now ({_rate(now.q05)} to {_rate(now.q95)}), "
        f"{_rate(ahead.q50)} with {ahead.n_train} rows ({_rate(ahead.q05)} to {_rate(ahead.q95)})"
    )


def _label(answers: Answers) -> str:
    suspects = f"{len(answers.suspect_labels)} given labels to look at again"
    if not answers.label_next:
        return f"3 Label next: nothing without an evaluation sample; {suspects}"
    reasons: dict[str, int] = {}
    for row in answers.label_next:
        reasons[row.reason] = reasons.get(row.reason, 0) + 1
    kinds = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
    first = " ".join(answers.label_next[0].text.split())
    first = first if len(first) <= 60 else first[:59] + "…"
    return f'3 Label next: "{first}" first ({kinds}); {suspects}'


def _space(answers: Answers) -> str:
    best = answers.encoders[0]
    n_spaces = len(answers.encoders) + len(answers.screened)
    name = f"{best.encoder} layer {best.view.layer}, {best.view.pooling}"
    return f"4 Space: {name} has the best forecast of {n_spaces} spaces, and is the best with probability {best.p_best:.0%}"


def _model(answers: Answers) -> str:
    model = answers.model
    time = f", {model.milliseconds_per_text:.2g} ms a text" if model.milliseconds_per_text is not None else ""
    return (
        f"5 Model: {model.layers} layers of {model.encoder} ({model.parameters / 1e6:.1f} M parameters{time}) "
        f"come within half a point of the best"
    )


def _settings(answers: Answers) -> str:
    probe, finetune = answers.hyperparameters.probe, answers.hyperparameters.finetune
    tuned = finetune.get("reason") or f"by rule lr {finetune['learning_rate']:g}, {finetune['epochs']} epochs"
    return f"6 Settings: {probe['probe']} probe with C {probe['C']:.2g}; fine-tuning: {tuned}"


def _space_name(need: EncoderNeed) -> str:
    return f"{need.encoder} layer {need.view.layer}, {need.view.pooling}"


def _rate(value: float) -> str:
    return f"{value:.3f}"
