# Variables: MANIFEST (of one Pod), NAMESPACE, NAME, ENDS ("yes": its program ends by itself, and logs and exec are not asked for), SERVERS (array
# of URLs of API servers; the Pod is made through the first), PATIENCE (seconds), CONF (kubeconfig).
# Proves with a Pod of ours that Pods start, and that logs and exec work through every API server; deletes it again. Prints:
#   started SECONDS | late TEXT | silent TEXT (as late, and the API server has not taken the Pod, or not said how it is)
#   logs|exec URL ok | logs|exec URL failed TEXT
# exec runs `true`: when the image has no such program, the runtime's own answer says that the way there works.
# shellcheck shell=bash disable=SC2154
kube() { timeout 25 kubectl --kubeconfig="$CONF" --server="$1" --request-timeout=20s -n "$NAMESPACE" "${@:2}"; }
short() { tr '\n' ' ' | sed 's/  */ /g' | cut -c -300; }
remove() { kube "${SERVERS[0]}" delete pod "$NAME" --ignore-not-found --grace-period=0 --force --wait="$1" >/dev/null 2>&1; }
trap 'remove false' EXIT
begun=$SECONDS
until said=$(kube "${SERVERS[0]}" create -f - <<<"$MANIFEST" 2>&1); do
    ((SECONDS - begun < PATIENCE)) || {
        echo "silent it was not accepted: $(short <<<"$said")"
        exit 0
    }
    case $said in
    *AlreadyExists*) remove true ;; # left by a run that was killed
    *) sleep 1 ;;
    esac
done
wanted=Running
[ "$ENDS" != yes ] || wanted=Succeeded
until
    code=0
    state=$(kube "${SERVERS[0]}" get pod "$NAME" -o 'jsonpath={.status.phase}' 2>&1) || code=$?
    [ "$code" = 0 ] && [ "$state" = "$wanted" ]
do
    if ((SECONDS - begun >= PATIENCE)); then
        [ "$code" = 0 ] || {
            echo "silent how it is cannot be asked: $(short <<<"$state")"
            exit 0
        }
        why=$(kube "${SERVERS[0]}" get events --field-selector "involvedObject.name=$NAME" -o 'jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}' 2>&1 | tail -n 1)
        echo "late it is ${state:-not there}: $(short <<<"$why")"
        exit 0
    fi
    sleep 0.5
done
echo "started $((SECONDS - begun))"
[ "$ENDS" != yes ] || exit 0
asked() { # URL
    local said
    if said=$(kube "$1" logs "$NAME" --tail=1 2>&1); then echo "logs $1 ok"; else echo "logs $1 failed $(short <<<"$said")"; fi
    if said=$(kube "$1" exec "$NAME" -- true 2>&1); then
        echo "exec $1 ok"
    else
        case ${said,,} in # runc and crun say it in different words; a socket that is not there is no such answer
        *'dial unix'*) echo "exec $1 failed $(short <<<"$said")" ;;
        *executable*'not found'* | *'no such file'*) echo "exec $1 ok" ;;
        *) echo "exec $1 failed $(short <<<"$said")" ;;
        esac
    fi
}
answers=()
for url in "${SERVERS[@]}"; do # all at the same time
    exec {answer}< <(trap - EXIT && asked "$url")
    answers+=("$answer")
done
for n in "${!SERVERS[@]}"; do
    said=$(cat <&"${answers[n]}")
    if [ "$(wc -l <<<"$said")" = 2 ]; then echo "$said"; else echo "logs ${SERVERS[n]} failed it was not asked to the end"; fi
done
