#!/usr/bin/env bash
# usage: ./spark-submit.sh [--print] [--env NAME] [SPARK OPTIONS] jobs/JOB.py [JOB ARGUMENTS]
#
# Submits a job with the settings of conf/spark/NAME.conf; NAME (default: local) is the environment that the job is
# given too. --print shows the command and runs nothing. SPARK OPTIONS go to spark-submit as they are.
# Exit code: the job's (0 done or nothing to do, 2 configuration, 3 rejected, 4 unavailable, 5 conflict, 1 bug).
set -euo pipefail

readonly root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly work_to_do=75

fail() {
  printf 'spark-submit.sh: %s\n' "$*" >&2
  exit 2
}

print=no
env_name=
options=()
while (($#)) && [[ $1 != *.py ]]; do
  case $1 in
    --print) print=yes ;;
    --env) env_name=${2:?--env needs a name} && shift ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
    --*=*) options+=("$1") ;;
    --*) options+=("$1" "${2-}") && shift ;;
    *) fail "unexpected '$1' before the job; usage: ./spark-submit.sh [--print] [--env NAME] jobs/JOB.py [ARGUMENTS]" ;;
  esac
  shift || fail "an option lacks its value, and no job was named"
done
(($#)) || fail "no job was named; usage: ./spark-submit.sh [--print] [--env NAME] jobs/JOB.py [ARGUMENTS]"
job=$1
shift
[[ -f $job ]] || fail "there is no $job"
arguments=("$@")
[[ -z $env_name ]] || arguments=(--env "$env_name" "${arguments[@]}")

env_name=local
for ((i = 0; i < ${#arguments[@]}; i++)); do
  case ${arguments[i]} in
    --env) env_name=${arguments[i + 1]-} ;;
    --env=*) env_name=${arguments[i]#--env=} ;;
  esac
done
readonly profile=$root/conf/spark/$env_name.conf
if [[ ! -f $profile ]]; then
  known=("$root"/conf/spark/*.conf)
  known=("${known[@]##*/}")
  fail "there is no profile conf/spark/$env_name.conf; known: ${known[*]%.conf}"
fi

# Shows a command as it could be typed: one argument a line.
show() {
  local last=${*: -1}
  for word in "${@:1:$#-1}"; do printf '%q \\\n  ' "$word"; done
  printf '%q\n' "$last"
}

submit_local() {
  # Never `eval "$(...)"` alone: it would swallow the exit code.
  local variables
  variables=$("$root/.venv/bin/python" "$root/scripts/setup.py" --env) || exit
  eval "$variables"
  export PYSPARK_PYTHON=$root/.venv/bin/python PYSPARK_DRIVER_PYTHON=$root/.venv/bin/python
  export PYTHONPATH=$root/lib SPARK_CONF_DIR=$root/conf/spark
  unset SPARK_HOME
  # A user that no file knows, as containers have them, has no home for the JVM, and Spark wants one.
  id -un >/dev/null 2>&1 || export JDK_JAVA_OPTIONS="${JDK_JAVA_OPTIONS-} -Duser.home=${HOME:-/tmp}"
  local command=(
    "$root/.venv/bin/spark-submit" --master 'local[*]' --properties-file "$profile" --jars "$HEADWATER_JARS"
    "${options[@]}" "$job" "${arguments[@]}"
  )
  if [[ $print == yes ]]; then
    show env "JAVA_HOME=$JAVA_HOME" "PYSPARK_PYTHON=$PYSPARK_PYTHON" "PYSPARK_DRIVER_PYTHON=$PYSPARK_DRIVER_PYTHON" \
      "PYTHONPATH=$PYTHONPATH" "SPARK_CONF_DIR=$SPARK_CONF_DIR" "${command[@]}"
    return
  fi
  # Without a JVM first: "nothing to do" and mistakes in conf/ are answered in a second.
  local peeked=0
  HEADWATER_PEEK=1 "$PYSPARK_PYTHON" "$job" "${arguments[@]}" || peeked=$?
  ((peeked == work_to_do)) || exit "$peeked"
  exec "${command[@]}"
}

submit_emr() {
  local passed=() variable
  for variable in HEADWATER_LAKE CRM_JDBC_URL CRM_USER DESK_S3_BUCKET AWS_REGION; do
    [[ -z ${!variable-} ]] || passed+=(--conf "spark.yarn.appMasterEnv.$variable=${!variable}")
  done
  # One by one: with a properties file spark-submit would not read the cluster's own defaults, and they hold its S3.
  local settings=() key value
  while read -r key value; do
    [[ -z $key || $key == \#* ]] || settings+=(--conf "$key=$value")
  done <"$profile"
  local delta=local:/usr/share/aws/delta/lib jars
  jars=$delta/delta-spark.jar,$delta/delta-storage.jar
  while read -r kind coordinate _; do
    case $kind:$coordinate in
      spark:io.delta:* | spark:org.apache.hadoop:* | spark:com.amazonaws:* | spark:org.wildfly.openssl:*) ;;
      spark:*) jars+=,$root/.cache/jars/$(jar_file "$coordinate") ;;
    esac
  done <"$root/conf/jars.lock"
  local command=(
    spark-submit --master yarn --deploy-mode cluster "${settings[@]}" --jars "$jars"
    --py-files "$root/dist/headwater.zip" --archives "$root/dist/conf.zip#conf" "${passed[@]}"
    "${options[@]}" "$job" "${arguments[@]}"
  )
  if [[ $print == yes ]]; then
    show "${command[@]}"
    return
  fi
  [[ -f $root/dist/headwater.zip && -f $root/dist/conf.zip ]] || fail "dist/ is missing; run \`make dist\` first"
  exec "${command[@]}"
}

# group:artifact:version -> the file name that set-up gives it
jar_file() {
  local group artifact version
  IFS=: read -r group artifact version <<<"$1"
  printf '%s_%s-%s.jar' "$group" "$artifact" "$version"
}

explain_databricks() {
  cat <<TEXT
Databricks takes no spark-submit: set up a job task instead.
  task type    Python script: $job, from Git or the workspace, with conf/ beside it
  parameters   ${arguments[*]@Q}
  cluster      16.4 LTS, Scala 2.12, dedicated access mode; Spark config: conf/spark/databricks.conf
  environment  SPARK_VERSION=3.5, HEADWATER_LAKE and the variables of conf/env/databricks.yaml (secrets as {{secrets/..}})
  libraries    the wheel of \`make dist\`, and by Maven:
TEXT
  while read -r kind coordinate _; do
    case $kind:$coordinate in
      spark:com.amazon.deequ:* | spark:org.mongodb.spark:* | spark:org.postgresql:*) printf '                 %s\n' "$coordinate" ;;
    esac
  done <"$root/conf/jars.lock"
  [[ $print == yes ]] || exit 2
}

case $env_name in
  local) submit_local ;;
  databricks) explain_databricks ;;
  *) submit_emr ;;
esac
