# Whether something listens there; stands before another script. Variables: none.
# knock ADDRESS PORT prints "reach ADDRESS PORT open|refused|silent|the error".
# shellcheck shell=bash
knock() { # ADDRESS PORT. The first packet may get lost, and is sent again after a second.
    local said
    # shellcheck disable=SC2016
    said=$(timeout 2.5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1)
    case $?/$said in
    0/*) said=open ;;
    124/*) said=silent ;;
    *refused*) said=refused ;;
    *) said=${said##*: } ;;
    esac
    echo "reach $1 $2 ${said:-silent}"
}
