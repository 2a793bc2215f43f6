from disbench.benchmark.cli import main

raise SystemExit(main())
