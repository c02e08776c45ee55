// Command plot draws how the largest crowd of bindings comes to be Ready, from the results of the bench (docs/scale.json), as SVG:
//
//	go run . scale.json scale.svg
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"image/color"
	"log"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// lines are who is drawn, in which color.
var lines = []struct {
	by    string
	color color.Color
}{
	{"bare loop", color.RGBA{R: 0x99, G: 0x99, B: 0x99, A: 0xff}},
	{"crash-safe loop", color.RGBA{R: 0x44, G: 0x44, B: 0x44, A: 0xff}},
	{"operator", color.RGBA{R: 0xd5, G: 0x5e, A: 0xff}},
}

// round is what is read of a round of the bench.
type round struct {
	Bindings int
	// Curves say when each part was done, in seconds, by whom it was.
	Curves map[string][]float64
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: plot RESULTS.json PICTURE.svg")
	}
	if err := draw(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func draw(results, picture string) error {
	text, err := os.ReadFile(results)
	if err != nil {
		return err
	}
	var measured struct{ Rounds []round }
	if err := json.Unmarshal(text, &measured); err != nil {
		return err
	}
	compared := slices.DeleteFunc(measured.Rounds, func(r round) bool { return len(r.Curves) < len(lines) })
	if len(compared) == 0 {
		return fmt.Errorf("%s has no round with loops", results)
	}
	largest := slices.MaxFunc(compared, func(a, b round) int { return cmp.Compare(a.Bindings, b.Bindings) })

	p := plot.New()
	p.Title.Text = fmt.Sprintf("%d bindings at once", largest.Bindings)
	p.X.Label.Text, p.Y.Label.Text = "seconds", "Ready"
	p.X.Min, p.Y.Min = 0, 0
	p.Legend.Left, p.Legend.Top = true, true
	p.Add(plotter.NewGrid())
	for _, by := range lines {
		curve := largest.Curves[by.by]
		points := plotter.XYs{{}}
		for i, seconds := range curve {
			points = append(points, plotter.XY{X: seconds, Y: float64((i + 1) * largest.Bindings / len(curve))})
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = by.color, vg.Points(1.5)
		p.Add(line)
		p.Legend.Add(by.by, line)
	}
	return p.Save(16*vg.Centimeter, 9*vg.Centimeter, picture)
}
