#!/bin/sh
# CGI: what the collector cannot measure itself, in Prometheus' format. Arguments are for tests: queue's folder, /sys.
#
# /sys is the host's in every container. Each kind is cut after 32 series.
queue=${1:-/var/lib/otelcol/queue}
sys=${2:-/sys}
printf 'Content-Type: text/plain; version=0.0.4\r\n\r\n'

# number FILE: its first word, where that is a whole number.
number() {
    value=
    [ -r "$1" ] || return 1
    # Some sensors give an error instead of a value.
    read -r value _ 2>/dev/null <"$1"
    case ${value#-} in '' | *[!0-9]*) return 1 ;; esac
}

# label FILE DEFAULT: its text with nothing in it that has a meaning in a label.
label() {
    text=
    [ -r "$1" ] && text=$(tr -cd 'A-Za-z0-9_. -' <"$1" | cut -c 1-64)
    text=${text:-$2}
}

# scaled VALUE DIVISOR
scaled() { awk -v value="$1" -v divisor="$2" 'BEGIN { printf "%.3f\n", value / divisor }'; }

temperatures() {
    for zone in "$sys"/class/thermal/thermal_zone*; do
        number "$zone/temp" || continue
        label "$zone/type" unknown
        echo "edge_temperature_celsius{sensor=\"${zone##*/}\",kind=\"$text\"} $(scaled "$value" 1000)"
    done
    for input in "$sys"/class/hwmon/hwmon*/temp*_input; do
        number "$input" || continue
        chip=${input%/*}
        sensor=${input##*/}
        label "$chip/name" unknown
        echo "edge_temperature_celsius{sensor=\"${chip##*/}_${sensor%_input}\",kind=\"$text\"} $(scaled "$value" 1000)"
    done
}

powers() {
    for input in "$sys"/class/hwmon/hwmon*/power*_input "$sys"/class/hwmon/hwmon*/power*_average; do
        number "$input" || continue
        chip=${input%/*}
        sensor=${input##*/}
        label "$chip/name" unknown
        echo "edge_power_watts{sensor=\"${chip##*/}_${sensor%_*}\",kind=\"$text\"} $(scaled "$value" 1000000)"
    done
    rails
}

# The chip on Jetson boards says volts and amperes of up to three rails: millivolts and milliamperes of the same number.
rails() {
    for input in "$sys"/class/hwmon/hwmon*/curr[123]_input; do
        chip=${input%/*}
        label "$chip/name" unknown
        [ "$text" = ina3221 ] || continue
        rail=${input##*/curr}
        rail=${rail%_input}
        number "$input" || continue
        current=$value
        number "$chip/in${rail}_input" || continue
        label "$chip/in${rail}_label" "$text"
        echo "edge_power_watts{sensor=\"${chip##*/}_rail$rail\",kind=\"$text\"} $(scaled $((value * current)) 1000000)"
    done
}

supplies() {
    for supply in "$sys"/class/power_supply/*; do
        number "$supply/$1" || continue
        echo "$2{supply=\"$(printf %s "${supply##*/}" | tr -cd 'A-Za-z0-9_.-')\"} $value"
    done
}

# eMMC says how much of its life is used in steps of 10 %, for two kinds of cells; 0x0b is beyond all of it.
wear() {
    for life in "$sys"/class/mmc_host/mmc*/mmc*/life_time; do
        [ -r "$life" ] || continue
        read -r first second <"$life"
        case $first$second in 0x0[0-9a-b]0x0[0-9a-b]) ;; *) continue ;; esac
        worst=$((first > second ? first : second))
        card=${life%/*}
        echo "edge_disk_life_used_percent{device=\"$(printf %s "${card##*/}" | tr -cd 'A-Za-z0-9_.:-')\"} $((worst * 10))"
    done
}

# kind NAME TYPE COMMAND...: the head and the series of one metric.
kind() {
    echo "# TYPE $1 $2"
    shift 2
    "$@" | head -n 32
}

number "$queue/.damaged" || value=0
kind edge_queue_files_damaged_total counter echo "edge_queue_files_damaged_total $value"
kind edge_temperature_celsius gauge temperatures
kind edge_power_watts gauge powers
kind edge_power_supply_online gauge supplies online edge_power_supply_online
kind edge_battery_percent gauge supplies capacity edge_battery_percent
kind edge_disk_life_used_percent gauge wear
